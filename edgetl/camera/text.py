"""The words for what happens to a camera."""

from __future__ import annotations

from edgetl.camera.frames import CameraEvent

_TEXTS = {
    "connected": "The camera is connected.",
    "disconnected": "The camera does not answer ({reason}). Trying again in {seconds:.0f} s.",
    "frozen": "The camera has shown the same frame for {seconds:.0f} s. Restart it.",
    "covered": "The camera sees nothing: is the lens covered?",
    "night": "It is dark: the answers may be wrong.",
    "normal": "The camera sees again.",
}


def describe_event(event: CameraEvent) -> str:
    """An event as a sentence."""
    return _TEXTS[event.code].format(**event.values)
