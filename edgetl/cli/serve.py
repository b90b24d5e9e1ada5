"""`serve`: the field station, a page on which the camera is trained."""

from __future__ import annotations

from typing import Any

import click

from edgetl.cli.options import JSON, MODEL, VERBOSE, opened
from edgetl.cli.output import print_json, show
from edgetl.types import to_json


@click.command()
@MODEL
@click.option("--camera", "cameras", multiple=True, metavar="URI", help="A camera of this device, e.g. /dev/video0; again for another.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="The TCP port; 0 takes a free one.")
@click.option("--lan", is_flag=True, help="Let other devices of the network in, with a code.")
@click.option("--tls", is_flag=True, help="HTTPS with a certificate made here; a phone's camera needs it.")
@VERBOSE
@JSON
def serve(cameras: tuple[str, ...], port: int, lan: bool, tls: bool, verbose: bool, as_json: bool, **model: Any) -> None:
    """Train on a page in the browser, with a live camera."""
    from edgetl.serve.server import Server, Settings, qr_code

    with opened(model) as classifier:
        server = Server(classifier, Settings(port, lan, tls, cameras))
        address = server.address
        if as_json:
            print_json({**to_json(address), "link": address.link, "token": str(address.token)})
            server.run()
            return
        server.access.new_code = lambda code: show([f"The next code: {code}"])
        lines = [f"Field station: {address.link}"]
        if lan:
            lines += [qr_code(address.link).rstrip(), f"Code: {address.code}"]
        if address.fingerprint:
            lines += [f"Certificate: {address.fingerprint}"]
        show([*lines, f"Token for scripts: {address.token}", "End with Ctrl-C."])
        server.run()
