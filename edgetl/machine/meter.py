"""Energy of some work, from a real meter or not at all: it is read idle and at work, and what idling costs is subtracted.

A meter is RAPL, an INA chip whose watts a thread adds up, or a command that prints the joules it counted so far.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from edgetl.errors import BenchError
from edgetl.machine.files import ROOT, number, output, paths, there, word

Clock = Callable[[], int]
_INPUT = "VDD_IN"
"""The rail through which a Jetson module draws everything (Jetson Linux Developer Guide, software-based power consumption modelling)."""
_INTERVAL = 0.02  # s between two samples of watts; the chips average over about as long
_GAP = 1.0  # s without a sample, over which watts would be guessed


@dataclasses.dataclass(frozen=True)
class Energy:
    """What a meter counted while queries ran.

    Attributes:
        kind: which meter, and what it covers.
        joules: counted during the queries, idle included, J.
        idle_watts: what the machine drew before them, doing nothing, W.
        idle_seconds: for which that was measured, s.
        seconds: that the queries took, s.
        queries: count.
    """

    kind: str
    joules: float
    idle_watts: float
    idle_seconds: float
    seconds: float
    queries: int

    @property
    def microjoules(self) -> int:
        """Of one query, above idle, uJ."""
        return round((self.joules - self.idle_watts * self.seconds) / self.queries * 1e6)


class Meter:
    """Counts joules while it is open (`with meter:`): `read` gives those counted so far, `kind` says which meter it is."""

    def __init__(self, kind: str, read: Callable[[], float]) -> None:
        self.kind, self.joules = kind, read

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return


class Watts(Meter):
    """Watts added up by a thread, by the trapezoidal rule."""

    def __init__(self, kind: str, watts: Callable[[], float], clock: Clock = time.monotonic_ns) -> None:
        super().__init__(kind, self._counted)
        self._watts, self._clock = watts, clock
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._joules, self._last, self._gap = 0.0, (clock(), watts()), 0.0

    def __enter__(self) -> Meter:
        self._thread = threading.Thread(target=self._run, name="edgetl-watts", daemon=True)
        self._last, self._gap = (self._clock(), self._watts()), 0.0
        self._stop.clear()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _counted(self) -> float:
        self._sample()
        if self._gap > _GAP:
            raise BenchError(
                f"{self.kind}: no sample for {self._gap:.1f} s. Measure again with less load", code="meter-gap", seconds=self._gap
            )
        return self._joules

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            try:
                self._sample()
            except BenchError:  # one sample less, which the next one makes up for or shows as a gap
                continue

    def _sample(self) -> None:
        with self._lock:
            now, watts = self._clock(), self._watts()
            (then, before), self._last = self._last, (now, watts)
            seconds = (now - then) / 1e9
            self._joules += (watts + before) / 2 * seconds
            self._gap = max(self._gap, seconds)


def measure(
    meter: Meter, work: Callable[[], object], *, idle_seconds: float = 10.0, seconds: float = 10.0,
    clock: Clock = time.monotonic_ns, sleep: Callable[[float], None] = time.sleep,
) -> Energy:  # fmt: skip
    """Reads a meter while nothing runs and then while queries do.

    Args:
        meter: from :func:`open_meter`; it is opened and closed.
        work: runs one query; warm it up before.
        idle_seconds: how long idling is measured, s.
        seconds: how long queries run at least, s.
        clock: monotonic, ns.
        sleep: waits for so many seconds.

    Raises:
        BenchError: the meter cannot be read, or counts no more at work than idle.
    """
    with meter:
        began, before = _moment(meter, clock)
        sleep(idle_seconds)
        woken, rested = _moment(meter, clock)
        queries = 0
        while not queries or clock() < woken + seconds * 1e9:
            work()
            queries += 1
        ended, after = _moment(meter, clock)
    idle, busy = (woken - began) / 1e9, (ended - woken) / 1e9
    energy = Energy(meter.kind, after - rested, (rested - before) / idle, idle, busy, queries)
    if energy.idle_watts < 0 or energy.joules <= energy.idle_watts * busy:
        drawn = f"{energy.joules:.3f} J in {busy:.1f} s of {queries} queries, {energy.idle_watts:.3f} W idle"
        message = f"{meter.kind}: no more energy at work than idle ({drawn}). Stop what else runs, or measure for longer"
        raise BenchError(message, code="no-more-than-idle", queries=queries, idle_watts=energy.idle_watts)
    return energy


def _moment(meter: Meter, clock: Clock) -> tuple[float, float]:
    """Nanoseconds in the middle of a reading, and the joules; a command may take a while."""
    before = clock()
    joules = meter.joules()
    return (before + clock()) / 2, joules


def open_meter(spec: str | None = None, root: Path = ROOT) -> Meter:
    """Finds a meter.

    Args:
        spec: `rapl`, `ina`, or a command that prints one number, the joules counted so far. None is what the machine has of the first two.
        root: where /sys is.

    Raises:
        BenchError: there is none that can be read. Energy is never estimated.
    """
    if spec not in (None, "rapl", "ina"):
        return _command(spec)
    reasons = []
    finders: dict[str, Callable[[], Meter]] = {"rapl": lambda: _rapl(root), "ina": lambda: _ina(root, spec == "ina")}
    for name, find in finders.items():
        if spec in (None, name):
            try:
                return find()
            except BenchError as error:
                reasons.append(error)
    words = "; ".join(map(str, reasons))
    code = "no-meter" if len(reasons) > 1 else reasons[0].code
    raise BenchError(f"no energy meter: {words}. With a meter of your own: --meter COMMAND, which prints the joules so far", code=code)


def _rapl(root: Path) -> Meter:
    """Counters that begin again at their range (https://docs.kernel.org/power/powercap/powercap.html).

    Packages only: cores and memory are parts of one, and `psys` covers it once more. One lap between two readings is seen and two are not;
    a lap takes 262 kJ on most processors, three quarters of an hour at 100 W.
    """
    zones = [path.parent for path in paths(root, "sys/class/powercap/intel-rapl:*/name") if (word(path) or "").startswith("package")]
    if not zones:
        raise BenchError("this machine has no RAPL counter (/sys/class/powercap/intel-rapl:*)", code="no-rapl")
    last = {zone: (_whole(zone / "energy_uj"), _whole(zone / "max_energy_range_uj")) for zone in zones}
    total = 0.0

    def read() -> float:
        nonlocal total
        for zone, (before, most) in last.items():
            now = _whole(zone / "energy_uj")
            total += (now - before if now >= before else now - before + most) / 1e6
            last[zone] = (now, most)
        return total

    return Meter(f"RAPL package, {len(zones)} of them" if len(zones) > 1 else "RAPL package", read)


def _ina(root: Path, asked: bool) -> Meter:
    """A Jetson's input; another chip only on request, because only who soldered it knows what it measures."""
    chips = {path.parent: name for path in paths(root, "sys/class/hwmon/hwmon*/name") if (name := word(path) or "").startswith("ina")}
    rails = {word(label): label for chip, name in chips.items() if name == "ina3221" for label in paths(chip, "in[123]_label")}
    if label := rails.get(_INPUT):
        volts, amperes = (label.with_name(name.replace("label", "input")) for name in (label.name, label.name.replace("in", "curr", 1)))
        return Watts(f"INA3221 {_INPUT}", lambda: _whole(volts) * _whole(amperes) / 1e6)
    powers = [chip / "power1_input" for chip in chips if there(chip / "power1_input")]
    if powers and asked:
        return Watts(f"{chips[powers[0].parent].upper()} power1", lambda: _whole(powers[0]) / 1e6)
    names = sorted(filter(None, rails))
    parts = f"; {', '.join(names)} measure parts of the board" if names else ""
    raise BenchError(f"no INA chip measures the input of this machine ({_INPUT}){parts}", code="no-ina", rails=names)


def _command(spec: str) -> Meter:
    """Somebody's own meter."""
    try:
        words: Sequence[str] = shlex.split(spec)
    except ValueError as error:
        raise BenchError(f"the meter's command {spec!r} cannot be parsed: {error}", code="meter-command", command=spec) from error

    def read() -> float:
        text = output(*words).strip() if words else ""
        try:
            counted = float(text)
        except ValueError:
            counted = math.nan
        if not math.isfinite(counted):
            message = f"the meter's command {shlex.join(words)!r} printed {text[:80]!r}; expected one number, the joules so far"
            raise BenchError(message, code="meter-command", command=spec, printed=text[:80])
        return counted

    read()
    return Meter(f"command {words[0].rpartition('/')[2] if words else ''}".strip(), read)


def _whole(path: Path) -> int:
    value = number(path)
    if value is None:
        hint = "; run as root, which alone may read power since it can reveal secrets" if path.name == "energy_uj" else ""
        raise BenchError(f"{path} cannot be read as an integer{hint if there(path) else ''}", code="counter-unreadable", path=str(path))
    return value
