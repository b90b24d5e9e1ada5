"""`watch`: a camera as a sensor, whose changes are lines of JSON."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Mapping
from typing import Any

import click

from edgetl.cli.options import MODEL, VERBOSE, opened
from edgetl.machine import systemd
from edgetl.types import to_json


def _region(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        x, y, width, height = map(float, value.split(","))
    except ValueError:
        raise click.BadParameter("expected X,Y,WIDTH,HEIGHT as shares, e.g. 0.25,0.25,0.5,0.5") from None
    if not (0 <= x < x + width <= 1 and 0 <= y < y + height <= 1):
        raise click.BadParameter("the region must lie in the picture: shares from 0 to 1")
    return x, y, width, height


def _agree(ctx: click.Context, option: click.Parameter, value: str) -> tuple[int, int]:
    agree, _, of = value.partition("/")
    if not (agree.isdigit() and of.isdigit() and int(of) / 2 < int(agree) <= int(of)):
        raise click.BadParameter("expected K/N with K more than half of N, e.g. 3/5")
    return int(agree), int(of)


@click.command()
@MODEL
@click.option("--camera", "uri", required=True, metavar="URI", help="A camera, e.g. /dev/video0, a video, or - for JPEGs on stdin.")
@click.option("--every", type=click.FloatRange(0), default=0.2, show_default=True, help="Seconds between two classified frames.")
@click.option("--region", callback=_region, metavar="X,Y,W,H", help="The part of the picture that counts, as shares.")
@click.option("--motion", type=click.FloatRange(0), default=0.0, help="Classify only what moved: gray levels, e.g. 3.")
@click.option("--agree", callback=_agree, default="3/5", show_default=True, metavar="K/N", help="K of the last N answers change the state.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.0, help="Less probable answers count as unknown.")
@click.option("--dwell", type=click.FloatRange(0), default=0.0, help="Seconds that a state lasts at least.")
@click.option("--mqtt", metavar="URI", help="Publish to a broker, e.g. mqtt://USER:PASSWORD@HOST; Home Assistant finds it.")
@click.option("--name", help="The camera's name on the broker; default: the store's name.")
@click.option("--commands", "commanded", is_flag=True, help="Take commands from the broker: teach, undo, activate.")
@click.option("--frames", is_flag=True, help="A line for every classified frame too.")
@VERBOSE
def watch(
    uri: str,
    every: float,
    region: Any,
    motion: float,
    agree: tuple[int, int],
    threshold: float,
    dwell: float,
    mqtt: str | None,
    name: str | None,
    commanded: bool,
    frames: bool,
    verbose: bool,
    **model: Any,
) -> None:
    """Report what a camera sees, one line of JSON per change."""
    from edgetl import camera
    from edgetl.inbox import Inbox
    from edgetl.publish.mqtt import MqttPublisher
    from edgetl.watch import Commands, WatchSettings
    from edgetl.watch.commands import COMMANDS
    from edgetl.watch.watch import camera_event
    from edgetl.watch.watch import watch as watch_camera

    settings = WatchSettings(every, region, motion, *agree, threshold, dwell)
    with contextlib.ExitStack() as stack:
        classifier = stack.enter_context(opened(model, read_only=True))
        classifier.session.trained()
        inbox = stack.enter_context(contextlib.closing(Inbox.open(classifier.store.path, classifier.store.fingerprint)))
        publisher: MqttPublisher | None = None
        commands = stack.enter_context(contextlib.closing(Commands(classifier, lambda result: tell("result", result))))

        def request(command: str, text: str) -> None:
            if command != "image":
                commands.request(command, text)
            elif publisher is not None and (jpeg := commands.newest) is not None:
                publisher.answer("image", jpeg)

        if mqtt is not None:
            offered = ("image", *(COMMANDS if commanded else ()))
            publisher = stack.enter_context(contextlib.closing(MqttPublisher(mqtt, name or classifier.store.path.stem, offered, request)))

        def tell(kind: str, values: Mapping[str, Any]) -> None:
            click.echo(json.dumps({"event": kind, **to_json(values)}, ensure_ascii=False))
            if publisher is not None and kind == "result":
                publisher.answer(kind, to_json(values))
            elif publisher is not None and kind in ("state", "camera"):
                publisher.publish(kind, to_json(values))

        source = stack.enter_context(camera.open(uri, on_event=camera_event(tell)))
        signal.signal(signal.SIGTERM, lambda *_: source.close())
        systemd.notify("READY=1")
        started = time.monotonic()
        try:
            count = watch_camera(
                classifier, source, inbox, settings, tell, frames=frames, alive=lambda: systemd.notify("WATCHDOG=1"), saw=commands.saw
            )
        except KeyboardInterrupt:
            return
        tell("end", {"time": time.time(), "classified": count, "seconds": time.monotonic() - started})
