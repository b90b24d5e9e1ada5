"""A camera as a sensor: from single answers to a state that a machine can act on."""

from edgetl.watch.commands import Commands
from edgetl.watch.decision import Change, Decision
from edgetl.watch.watch import WatchSettings, watch

__all__ = ["Change", "Commands", "Decision", "WatchSettings", "watch"]
