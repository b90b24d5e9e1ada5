"""Tells systemd that a service is ready and alive (sd_notify(3)); does nothing elsewhere."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Sends a state to the service manager that started this process, if any.

    Args:
        state: `READY=1`, `WATCHDOG=1` or `STOPPING=1`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)
