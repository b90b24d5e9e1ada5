"""edgetl.toml and services: what is checked, and a service that is killed is back with everything it had acknowledged."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pictures import coloured
from raising import raises

from edgetl import Classifier
from edgetl.cli import config, main
from edgetl.errors import ConfigError, ServiceError
from edgetl.machine import systemd

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("content", "code", "key"),
    [
        ('bundel = "x"', "config-key", "bundel"),
        ("[serv]", "config-key", "serv"),
        ("[watch]\nevry = 1", "config-key", "evry"),
        ("[watch]\njson = true", "config-key", "json"),
        ('[watch]\nevery = "fast"', "config-value", "every"),
        ("[watch]\nframes = 1", "config-value", "frames"),
        ("[watch]\ncamera = true", "config-value", "camera"),
        ("[watch]\ncamera = ['a', 'b']", "config-value", "camera"),
        ('[watch]\nregion = "0,0,2,1"', "config-value", "region"),
        ("[serve]\nport = 99999", "config-value", "port"),
        ("[serve]\ncamera = []", "config-value", "camera"),
        ("[serve]\ncamera = [['a']]", "config-value", "camera"),
        ("bundle = 3\n[serve]", "config-value", "bundle"),
        ("watch = 3", "config-value", "watch"),
        ("[watch", "config-unreadable", None),
        ("\0", "config-unreadable", None),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, content: str, code: str, key: str | None) -> None:
    path = tmp_path / "edgetl.toml"
    path.write_text(content)
    with raises(ConfigError, code) as caught:
        config.load(path, main.commands)
    assert caught.value.values.get("key") == key
    assert str(path) in str(caught.value)


def test_a_missing_or_binary_file_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with raises(ConfigError, "config-unreadable"):
            config.load(path, main.commands)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with raises(ConfigError, "config-unreadable"):
        config.load(tmp_path / "binary.toml", main.commands)


def test_paths_are_relative_to_the_file_and_the_store_has_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "gate.toml"
    path.write_text('bundle = "lite0.edgetl"\n[serve]\nlan = true\n[watch]\ncamera = "/dev/video0"\nevery = 1\n')
    verbs = config.load(path, main.commands)
    common = {"bundle": str(tmp_path / "lite0.edgetl"), "store": str(tmp_path / "state/edgetl/gate.db")}
    assert verbs == {"serve": {**common, "lan": True}, "watch": {**common, "uri": "/dev/video0", "every": 1}}
    assert (tmp_path / "state/edgetl").stat().st_mode & 0o777 == 0o700


def test_the_documented_file_has_every_key() -> None:
    if sys.version_info < (3, 11):
        pytest.skip("Python 3.10 reads TOML with tomli")
    import tomllib

    text = (ROOT / "docs/how-to/service.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    documented = tomllib.loads(re.sub(r"^# (?=\w+ = )", "", block, flags=re.M))
    assert {key for key in documented if key not in config.VERBS} == set(config.COMMON)
    for verb in config.VERBS:
        own = {option.opts[-1].lstrip("-") for option in main.commands[verb].params} - {*config.COMMON, "json", "verbose"}
        assert set(documented[verb]) == own, verb


def test_the_file_gives_the_options_and_the_command_line_wins(classifier: Classifier, bundle: Path, folder: Path, tmp_path: Path) -> None:
    classifier.add_many(folder)
    classifier.train()
    (tmp_path / "edgetl.toml").write_text(
        f'bundle = "{bundle.name}"\nstore = "parts.db"\n[watch]\ncamera = "{folder / "red"}"\nframes = true\n'
    )
    words = ["--config", str(tmp_path / "edgetl.toml"), "watch"]
    for extra, label in (([], "red"), (["--camera", str(folder / "green")], "green")):
        result = CliRunner().invoke(main, [*words, *extra])
        events = [json.loads(line) for line in result.stdout.splitlines()]
        assert {event["label"] for event in events if event["event"] == "frame"} == {label}


@pytest.fixture
def configured(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose path has all that a unit must quote, and an own place for units."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / 'a "b" 100% $HOME'
    folder.mkdir()
    shutil.copyfile(bundle, folder / "lite0.edgetl")
    path = folder / "gate.toml"
    path.write_text('bundle = "lite0.edgetl"\n[serve]\nport = 0\n')
    return path


def command_of(unit: str) -> list[str]:
    """The command of a unit, unquoted as systemd does it."""
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]


def test_the_unit_runs_the_configured_verb(configured: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["service", "install", "--user", "--config", str(configured), "--print"])
    name, _, unit = result.stdout.partition("\n")
    assert name == "# edgetl-gate-serve.service"
    assert command_of(unit)[2:] == ["edgetl", "--config", str(configured), "serve"]
    if shutil.which("systemd-analyze"):
        (tmp_path / "edgetl-gate-serve.service").write_text(unit)
        (tmp_path / "run").mkdir(mode=0o700)
        command = ["systemd-analyze", "verify", "--user", str(tmp_path / "edgetl-gate-serve.service")]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")})
        assert "gate-serve" not in done.stderr, done.stderr


def test_install_writes_and_starts_the_unit_and_remove_takes_it_away(
    configured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/systemctl"  # what it is asked; a service manager of the user does not run where tests run
    program.write_text(f'#!/bin/sh\necho "$*" >> {shlex.quote(str(tmp_path / "asked"))}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    words = ["service", "install", "--user", "--config", str(configured), "--json"]
    (file,) = json.loads(CliRunner().invoke(main, words).stdout)["units"]
    assert Path(file) == tmp_path / "config/systemd/user/edgetl-gate-serve.service"
    name = "edgetl-gate-serve.service"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-3:] == ["--user daemon-reload", f"--user enable {name}", f"--user restart {name}"]
    words[1] = "remove"
    assert json.loads(CliRunner().invoke(main, words).stdout) == {"removed": [name]}
    assert not Path(file).exists()
    assert json.loads(CliRunner().invoke(main, words).stdout) == {"removed": []}


def test_nothing_is_written_without_a_service_manager(configured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with raises(ServiceError, "systemd-missing"):
        systemd.install("edgetl.service", "")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\necho no bus >&2; exit 1\n")
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with raises(ServiceError, "systemd-failed") as caught:
        systemd.install("edgetl.service", "")
    assert caught.value.values["reason"] == "no bus"
    assert not (tmp_path / "config").exists()


def test_a_file_without_a_table_has_no_service(tmp_path: Path) -> None:
    (tmp_path / "edgetl.toml").write_text('bundle = "x"')
    result = CliRunner().invoke(main, ["service", "install", "--user", "--config", str(tmp_path / "edgetl.toml"), "--print", "--json"])
    assert json.loads(result.stdout)["error"]["code"] == "config-key"


class Manager:
    """What systemd is to a service: it starts it, hears from it, and starts it again."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.command, self.path = command, folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(60)
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.path)}
        self.process = subprocess.Popen(self.command, env=environment, stdout=subprocess.DEVNULL)
        self.wait_for(b"READY=1")

    def wait_for(self, state: bytes) -> None:
        while self.socket.recv(100) != state:
            pass

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.mark.slow
def test_a_killed_service_is_back_with_every_acknowledged_photo(configured: Path, tmp_path: Path) -> None:
    pytest.importorskip("starlette", reason="the extra serve is not installed: pip install 'edgetl[serve]'")
    from urllib.request import Request, urlopen

    unit = CliRunner().invoke(main, ["service", "install", "--user", "--config", str(configured), "--print"]).stdout
    service = Manager(command_of(unit), tmp_path)
    store = tmp_path / "state/edgetl/gate.db"
    try:
        for restart in range(2):
            service.wait_for(b"WATCHDOG=1")
            token, url = (
                (store.parent / "gate.db.token").read_text().strip(),
                json.loads((store.parent / "gate.db.serve").read_text())["url"],
            )
            headers = {"authorization": f"Bearer {token}", "content-type": "image/jpeg"}
            answer: Any = urlopen(Request(f"{url}v1/classes/red/photos", coloured("red", restart), headers))
            assert json.load(answer)["photos"][0]["status"] == "added"
            service.kill()
            with Classifier.open_store(store, read_only=True) as reader:
                assert reader.counts == {"red": restart + 1}
            service.start()
    finally:
        service.kill()
