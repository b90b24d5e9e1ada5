"""Cameras: `open(URI)` gives frames, the newest first, and goes on when the camera comes back."""

from edgetl.camera.camera import Camera, open
from edgetl.camera.frames import CameraEvent, Frame

__all__ = ["Camera", "CameraEvent", "Frame", "open"]
