"""Meters that count joules: RAPL by itself, an INA chip's watts added up by a thread, or a command that prints what it counted so far."""

from __future__ import annotations

import math
import shlex
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from edgetl.errors import BenchError
from edgetl.machine.files import ROOT, number, output, paths, there, word

_INPUT = "VDD_IN"
"""The rail through which a Jetson module draws everything (Jetson Linux Developer Guide, software-based power consumption modelling)."""
_INTERVAL = 0.02  # s between two samples of watts; the chips average over about as long
_GAP = 1.0  # s without a sample, over which watts would be guessed


class Meter(ABC):
    """Counts joules while it is open (`with meter:`).

    Attributes:
        kind: which meter, and what it covers.
    """

    kind: str

    @abstractmethod
    def joules(self) -> float:
        """Counted so far, from any beginning, J.

        Raises:
            BenchError: the meter cannot be read any more.
        """

    def __enter__(self) -> Meter:
        """Begins to count."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends counting."""
        return


def open_meter(spec: str | None = None, root: Path = ROOT) -> Meter:
    """Finds a meter.

    Args:
        spec: `rapl`, `ina`, or a command that prints one number, the joules counted so far (a total, so that it may be asked seldom).
            None is what the machine has of the first two.
        root: where /sys is.

    Raises:
        BenchError: there is none that can be read, with the reason. Energy is never estimated.
    """
    if spec not in (None, "rapl", "ina"):
        return _Command(spec)
    reasons = []
    finders: dict[str, Callable[[], Meter]] = {"rapl": lambda: _rapl(root), "ina": lambda: _ina(root, spec == "ina")}
    for name, find in finders.items():
        if spec in (None, name):
            try:
                return find()
            except BenchError as error:
                reasons.append(str(error))
    raise BenchError(f"no energy: {'; '.join(reasons)}. With a meter of your own: --meter COMMAND, which prints the joules counted so far")


class _Rapl(Meter):
    """Counters that begin again at their range (https://docs.kernel.org/power/powercap/powercap.html).

    One lap between two readings is seen and two are not; a lap takes 262 kJ on most processors, three quarters of an hour at 100 W.
    """

    def __init__(self, zones: Sequence[Path]) -> None:
        self.kind = f"RAPL package, {len(zones)} of them" if len(zones) > 1 else "RAPL package"
        self._zones = {zone: (_whole(zone / "energy_uj"), _whole(zone / "max_energy_range_uj")) for zone in zones}
        self._joules = 0.0

    def joules(self) -> float:
        for zone, (last, most) in self._zones.items():
            now = _whole(zone / "energy_uj")
            self._joules += (now - last if now >= last else now - last + most) / 1e6
            self._zones[zone] = (now, most)
        return self._joules


class _Watts(Meter):
    """Watts added up by a thread, by the trapezoidal rule."""

    def __init__(self, kind: str, watts: Callable[[], float], clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.kind, self._watts, self._clock = kind, watts, clock
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

    def joules(self) -> float:
        self._sample()
        if self._gap > _GAP:
            raise BenchError(f"{self.kind}: told nothing for {self._gap:.1f} s, and energy is not guessed; measure again with less load")
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


class _Command(Meter):
    """Somebody's own meter."""

    def __init__(self, spec: str) -> None:
        try:
            self._command = shlex.split(spec)
        except ValueError as error:
            raise BenchError(f"the meter's command {spec!r} cannot be taken apart: {error}") from error
        self.kind = f"command {self._command[0].rpartition('/')[2] if self._command else ''}".strip()
        self.joules()

    def joules(self) -> float:
        said = output(*self._command).strip() if self._command else ""
        try:
            counted = float(said)
        except ValueError:
            counted = math.nan
        if not math.isfinite(counted):
            shown = shlex.join(self._command)
            raise BenchError(f"the meter's command {shown!r} printed {said[:80]!r}; expected one number, the joules counted so far")
        return counted


def _rapl(root: Path) -> Meter:
    """Packages only: cores and memory are parts of one, and `psys` covers it once more."""
    zones = [path.parent for path in paths(root, "sys/class/powercap/intel-rapl:*/name") if (word(path) or "").startswith("package")]
    if not zones:
        raise BenchError("this machine has no RAPL counter (/sys/class/powercap/intel-rapl:*)")
    return _Rapl(zones)


def _ina(root: Path, asked: bool) -> Meter:
    """A Jetson's input; another chip only where it was asked for, because only who soldered it knows what it measures."""
    chips = {path.parent: name for path in paths(root, "sys/class/hwmon/hwmon*/name") if (name := word(path) or "").startswith("ina")}
    rails = {word(label): label for chip, name in chips.items() if name == "ina3221" for label in paths(chip, "in[123]_label")}
    if label := rails.get(_INPUT):
        volts, amperes = (label.with_name(name.replace("label", "input")) for name in (label.name, label.name.replace("in", "curr", 1)))
        return _Watts(f"INA3221 {_INPUT}", lambda: _whole(volts) * _whole(amperes) / 1e6)
    powers = [chip / "power1_input" for chip in chips if there(chip / "power1_input")]
    if powers and asked:
        return _Watts(f"{chips[powers[0].parent].upper()} power1", lambda: _whole(powers[0]) / 1e6)
    told = f", only {', '.join(sorted(filter(None, rails)))}: parts of the board, not all of it" if rails else ""
    raise BenchError(f"this machine has no INA chip that measures its input ({_INPUT}){told}")


def _whole(path: Path) -> int:
    value = number(path)
    if value is None:
        hint = "; only root may read it since a measurement of power can reveal secrets: run as root" if path.name == "energy_uj" else ""
        raise BenchError(f"{path} cannot be read as a whole number{hint if there(path) else ''}")
    return value
