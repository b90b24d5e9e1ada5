"""Who may talk to the field station: codes, sessions, hosts, and every route against every wrong request."""

from __future__ import annotations

import dataclasses
import http.client
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from field_station import Client, running
from hypothesis import given
from hypothesis import strategies as st
from pictures import coloured
from raising import raises

pytest.importorskip("starlette", reason="the extra serve is not installed: pip install 'edgetl[serve]'")

from edgetl.errors import ServeError
from edgetl.serve import access as access_module
from edgetl.serve.access import Access, load_token
from edgetl.serve.app import OPEN, ROUTES

TOKEN = "t" * 40
FILLED = {"label": "red", "answer": "green", "id": "1", "file": "main.js", "kind": "head"}


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(clock: Clock) -> Access:
    return Access(TOKEN, ("127.0.0.1", "localhost", "::1", "camera.local"), 8765, clock=clock)


def cookie(access: Access) -> dict[str, str]:
    return {"cookie": f"{access.cookie_name}={access.open_session(access.code).session}"}


def test_a_code_opens_one_session_and_then_changes(access: Access) -> None:
    code = access.code
    assert access.identify({"cookie": f"{access.cookie_name}={access.open_session(f' {code.lower()[:4]}-{code[4:]} ').session}"}).session
    assert access.code != code
    with raises(ServeError, "code-wrong", left=5):
        access.open_session(code)
    codes: list[str] = []
    access.new_code = codes.append
    access.open_session(access.code)
    assert codes == [access.code]


def test_a_session_stands_beside_the_cookies_of_other_programs_of_the_host(access: Access, clock: Clock) -> None:
    other = Access("u" * 40, access.hosts, 8766, clock=clock)
    sessions = "; ".join(each["cookie"] for each in (cookie(access), cookie(other)))
    for each in (access, other):
        assert each.identify({"cookie": f'tabs={{"open":[1]}}; {sessions}; x'}).session


def test_six_wrong_codes_lock_the_right_one_out_for_a_while(access: Access, clock: Clock) -> None:
    for _ in range(6):
        with raises(ServeError, "code-wrong"):
            access.open_session("WRONG")
    with raises(ServeError, "code-locked", seconds=600):
        access.open_session(access.code)
    clock.now += 601
    assert access.open_session(access.code).session


def test_a_session_outlives_a_restart_and_ends_in_time(access: Access, clock: Clock) -> None:
    headers = cookie(access)
    restarted = Access(TOKEN, access.hosts, 8765, clock=clock)
    assert restarted.identify(headers) == access.identify(headers)
    clock.now += access_module.LIFETIME_S + 1
    with raises(ServeError, "session-missing"):
        restarted.identify(headers)


@pytest.mark.parametrize("jump", [-86400 * 365 * 50, 86400 * 365 * 50])
def test_after_a_jump_of_the_clock_a_code_opens_a_new_session(access: Access, clock: Clock, jump: int) -> None:
    for _ in range(access_module.WRONG_CODES):
        with raises(ServeError, "code-wrong"):
            access.open_session("wrong")
    clock.now += jump
    assert access.identify(cookie(access)).session


def test_a_session_of_another_key_is_not_one(access: Access, clock: Clock) -> None:
    with raises(ServeError, "session-missing"):
        Access("u" * 40, access.hosts, 8765, clock=clock).identify(cookie(access))


@given(text=st.text("0123456789abcdefABCDEF._-=", max_size=80), at=st.integers(0, 200))
def test_no_altered_cookie_and_no_invented_one_is_a_session(text: str, at: int) -> None:
    access = Access(TOKEN, ("localhost",), 1)
    session = access.open_session(access.code).session
    altered = session[:at] + text + session[at + len(text) :]
    for value in {text, altered} - {session}:
        with raises(ServeError, "session-missing"):
            access.identify({"cookie": f"{access.cookie_name}={value}"})


def test_a_change_needs_the_token_of_its_own_session(access: Access) -> None:
    requester, other = access.identify(cookie(access)), access.identify(cookie(access))
    access.check_change(requester, "POST", {"x-edgetl-csrf": requester.csrf})
    access.check_change(requester, "GET", {})
    for value in ("", other.csrf, requester.csrf[:-1]):
        with raises(ServeError, "csrf-missing"):
            access.check_change(requester, "DELETE", {"x-edgetl-csrf": value})


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:8765", "[::1]:8765", "camera.local:8765", "LOCALHOST:8765"])
def test_the_servers_own_names_are_allowed(access: Access, host: str) -> None:
    access.check_host(host)


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example:8765", "localhost:80", "localhost.evil:8765", "a@localhost:8765", "localhost:8765/x", "[::1", "127.1:8765"],
)
def test_any_other_host_is_not_allowed(access: Access, host: str | None) -> None:
    with raises(ServeError, "host-not-allowed"):
        access.check_host(host)


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "https://localhost:8765", "http://localhost", "http://localhost:1", "http://[", ""]
)
def test_another_origin_is_not_allowed(access: Access, origin: str) -> None:
    with raises(ServeError, "origin-not-allowed"):
        access.check_origin(origin)


def test_the_machines_name_is_allowed_in_any_case() -> None:
    Access(TOKEN, ("MyPi.local",), 8765).check_host("mypi.local:8765")


def test_every_address_of_the_machine_is_allowed_in_the_network(bundle: Path, tmp_path: Path) -> None:
    with running(bundle, tmp_path / "parts.db", lan=True) as station:
        for address in ("127.0.0.1", "127.0.0.2"):  # the second one is not among the names that the server knows
            for host, status in ((f"{address}:{station.port}", 200), (f"attacker.example:{station.port}", 421), ("", 421)):
                connection = http.client.HTTPConnection(address, station.port, timeout=60)
                connection.request("GET", "/healthz", headers={"host": host, **({"origin": f"http://{host}"} if host else {})})
                assert connection.getresponse().status == status, (address, host)
                connection.close()


def test_the_own_origin_and_none_are_allowed(access: Access) -> None:
    access.check_origin(None)
    access.check_origin("http://localhost:8765")
    Access(TOKEN, ("localhost",), 443, "https").check_origin("https://localhost")


def test_the_token_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "parts.db.token"
    token = load_token(path)
    assert load_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("short")
    with raises(ServeError, "token-unusable", path=str(path)):
        load_token(path)
    with raises(ServeError, "token-unusable"):
        load_token(tmp_path / "missing" / "token")


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    from edgetl.runtimes import fake

    folder = tmp_path_factory.mktemp("station")
    bundle = fake.write_bundle(str(folder / "fake.edgetl"), coloured("red", 9)).path
    with running(Path(bundle), folder / "parts.db") as client:
        for label in ("red", "green"):
            for seed in range(3):
                client.post(f"/v1/classes/{label}/photos", coloured(label, seed))
        client.settled()
        yield client


@dataclasses.dataclass(frozen=True)
class Wrong:
    """One way in which a request is wrong; None where it cannot be of a route."""

    headers: Mapping[str, str | None]
    only_changes: bool = False
    open_too: bool = True


WRONG = {
    "no session": Wrong({"cookie": None}, open_too=False),
    "wrong origin": Wrong({"origin": "http://evil.example"}),
    "wrong host": Wrong({"host": "evil.example"}),
    "no csrf": Wrong({"x-edgetl-csrf": None}, only_changes=True, open_too=False),
    "text": Wrong({"content-type": "text/plain"}, only_changes=True),
}
BODIES = {
    *("/v1/session", "/v1/upload", "/v1/merge", "/v1/classify", "/v1/classes/{label}/photos", "/v1/samples/{id}/label"),
    *("/v1/explain", "/v1/inbox/label", "/v1/inbox/delete", "/v1/camera"),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize(("method", "path"), [route[:2] for route in ROUTES])
def test_a_wrong_request_changes_nothing(station: Client, method: str, path: str, kind: str) -> None:
    wrong = WRONG[kind]
    is_open = (method, path) in OPEN or path.startswith("/page/")
    if (wrong.only_changes and method == "GET") or (is_open and not wrong.open_too) or (kind == "text" and path not in BODIES):
        return
    before = station.server.station.classifier.store.digest(), station.server.station.classifier.store.active()
    headers = {name: value for name, value in {**station.session(), **wrong.headers}.items() if value is not None}
    reply = station.send(method, path.format(**FILLED), b"\xff\xd8" if method == "POST" else None, headers)
    assert 400 <= reply.status < 500, reply
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert (station.server.station.classifier.store.digest(), station.server.station.classifier.store.active()) == before


@pytest.mark.parametrize(("method", "path"), [route[:2] for route in ROUTES])
def test_a_wrong_address_or_method_is_an_error(station: Client, method: str, path: str) -> None:
    before = station.server.station.classifier.store.digest()
    paths = [
        path.format(**{**FILLED, name: value}) for name in FILLED if f"{{{name}}}" in path for value in ("9" * 500, "..%2f..%2fetc", "%00")
    ]
    for wrong in paths:
        assert 400 <= station.send(method, wrong, b"x" if method == "POST" else None).status < 500, wrong
    others = {"GET", "POST", "DELETE", "PUT", "PATCH"} - {each for each, other, _ in ROUTES if other == path}
    for other in others:
        assert station.send(other, path.format(**FILLED), b"" if other != "GET" else None).status == 405
    assert station.server.station.classifier.store.digest() == before


@pytest.mark.parametrize("path", ["/", "/healthz", "/page/main.js"])
def test_what_is_open_is_open_to_head_too(station: Client, path: str) -> None:
    assert station.send("HEAD", path, headers={}).status == 200


def test_only_the_pages_own_files_are_given(station: Client) -> None:
    names = {path.name for path in (Path(access_module.__file__).parent / "page").iterdir()}
    for name in names:
        reply = station.send("GET", f"/page/{name}", headers={})
        assert (reply.status, reply.headers["x-content-type-options"]) == (200, "nosniff")
    assert station.send("GET", "/page/app.py", headers={}).status == 404
    assert station.send("GET", "/page/%2e%2e%2fapp.py", headers={}).status == 404
