"""A camera as a sensor: from single answers to a state that a machine can act on."""

from edgetl.watch.decision import Change, Decision
from edgetl.watch.watch import WatchSettings, watch

__all__ = ["Change", "Decision", "WatchSettings", "watch"]
