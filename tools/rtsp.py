"""A real RTSP server for the tests: GStreamer's (libgstrtspserver), Debian's, unpacked without root into the cache. Standard library only.

`python rtsp.py PORT LAUNCH USER PASSWORD` serves `rtsp://127.0.0.1:PORT/camera`: what GStreamer's elements LAUNCH give, whose last one is
named pay0. User and password may be empty.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import sysroot
import unpacked

_PACKAGES = ("libgstrtspserver-1.0-0", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good")
# libc6 and the compiler's libraries are the machine's own; the others belong to plugins that are not unpacked.
_WITHOUT = (
    *("libc6", "libgcc-s1", "libstdc++6", "gstreamer1.0-plugins-bad", "iso-codes", "libaa1", "libavc1394-0", "libcaca0", "libcairo2"),
    *("libcairo-gobject2", "libdv4", "libflac12", "libgdk-pixbuf-2.0-0", "libiec61883-0", "libjack-jackd2-0", "libmp3lame0", "libmpg123-0"),
    *(
        "libpng16-16",
        "libpulse0",
        "libraw1394-11",
        "libshout3",
        "libspeex1",
        "libssl3",
        "libtag1v5",
        "libtwolame0",
        "libv4l-0",
        "libwavpack1",
    ),
    *(
        "libx11-6",
        "libxdamage1",
        "libxext6",
        "libxfixes3",
        "libxml2",
        "libsoup2.4-1",
        "libcdparanoia0",
        "libogg0",
        "libopus0",
        "libtheora0",
    ),
    *("libvisual-0.4-0", "libvorbis0a", "libvorbisenc2", "libcap2-bin", "shared-mime-info"),
)
_PLUGINS = frozenset(
    f"libgst{name}.so"
    for name in (
        "coreelements",
        "isomp4",
        "videotestsrc",
        "videoconvertscale",
        "vpx",
        "jpeg",
        "rtp",
        "rtpmanager",
        "udp",
        "tcp",
        "rtsp",
        "app",
    )
)
_SOURCE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=15/1"
VP8 = f"{_SOURCE} ! vp8enc deadline=1 keyframe-max-dist=10 ! rtpvp8pay name=pay0 pt=96"
JPEG = f"{_SOURCE} ! jpegenc ! rtpjpegpay name=pay0 pt=26"


def launch_h264(path: Path) -> str:
    """An MP4 file of H.264, played in real time."""
    return f'filesrc location="{path}" ! qtdemux ! rtph264pay name=pay0 pt=96 config-interval=1'


@dataclasses.dataclass(frozen=True)
class Server:
    """How to start it.

    Attributes:
        command: to be completed by port, elements, user and password.
        env: what it needs.
    """

    command: tuple[str, ...]
    env: dict[str, str]


def ready() -> Server:
    """Unpacks it where that was not done before (about 12 MB are downloaded, once).

    Raises:
        debian.Unreachable: no mirror answers.
        debian.Damaged: a package does not arrive or is not what it should be.
        sysroot.Failed: it does not run on this machine.
    """
    folder = unpacked.unpack("rtsp", _PACKAGES, _WITHOUT, _wanted)
    plugins = next(folder.glob("usr/lib/*-linux-gnu/gstreamer-1.0"))
    scanner = next(folder.glob("usr/lib/*-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner"))
    env = {
        **unpacked.environment(folder),
        "GST_PLUGIN_SYSTEM_PATH_1_0": "",
        "GST_PLUGIN_PATH_1_0": str(plugins),
        "GST_PLUGIN_SCANNER_1_0": str(scanner),
        "GST_REGISTRY_1_0": str(folder / "registry.bin"),
    }
    server = Server((sys.executable, __file__), env)
    done = subprocess.run([*server.command, "0", VP8, "", ""], env={**os.environ, **env}, capture_output=True, text=True)
    if done.returncode:
        raise sysroot.Failed(f"{folder}: GStreamer's RTSP server does not run here: {done.stderr.strip()[-300:]}")
    return server


def _wanted(path: str) -> bool:
    if "/gstreamer-1.0/libgst" in path:
        return Path(path).name in _PLUGINS
    return ("/lib/" in path and ".so" in path) or path.endswith("/gst-plugin-scanner")


def _load(name: str, **results: object) -> ctypes.CDLL:
    library = ctypes.CDLL(name)
    for function, result in results.items():
        getattr(library, function).restype = result
    return library


def _serve(port: str, elements: str, user: str, password: str) -> None:
    """Serves until it is killed; port 0 only checks that every element is there."""
    pointer, text = ctypes.c_void_p, str.encode
    glib = _load("libglib-2.0.so.0", g_main_loop_new=pointer)
    gobject = ctypes.CDLL("libgobject-2.0.so.0")
    gst = _load("libgstreamer-1.0.so.0", gst_parse_launch=pointer)
    names = ("server_new", "server_get_mount_points", "media_factory_new", "auth_new", "token_new_empty", "auth_make_basic")
    rtsp = _load("libgstrtspserver-1.0.so.0", **{f"gst_rtsp_{name}": pointer for name in names})
    gst.gst_init(None, None)
    launch = f"( {elements} )"
    if port == "0":
        error = pointer()
        if not gst.gst_parse_launch(text(launch), ctypes.byref(error)) or error:
            sys.exit("an element is missing")
        return
    server = pointer(rtsp.gst_rtsp_server_new())
    rtsp.gst_rtsp_server_set_address(server, b"127.0.0.1")
    rtsp.gst_rtsp_server_set_service(server, text(port))
    factory = pointer(rtsp.gst_rtsp_media_factory_new())
    rtsp.gst_rtsp_media_factory_set_launch(factory, text(launch))
    rtsp.gst_rtsp_media_factory_set_shared(factory, 1)
    if user:
        _protect(rtsp, gobject, server, factory, user, password)
    rtsp.gst_rtsp_mount_points_add_factory(pointer(rtsp.gst_rtsp_server_get_mount_points(server)), b"/camera", factory)
    if not rtsp.gst_rtsp_server_attach(server, None):
        sys.exit(f"port {port} cannot be used")
    glib.g_main_loop_run(pointer(glib.g_main_loop_new(None, 0)))


def _protect(rtsp: ctypes.CDLL, gobject: ctypes.CDLL, server: object, factory: object, user: str, password: str) -> None:
    """Asks for this user and password."""
    pointer = ctypes.c_void_p
    auth, token = pointer(rtsp.gst_rtsp_auth_new()), pointer(rtsp.gst_rtsp_token_new_empty())
    rtsp.gst_rtsp_token_set_string(token, b"media.factory.role", b"viewer")
    basic = pointer(rtsp.gst_rtsp_auth_make_basic(user.encode(), password.encode()))
    rtsp.gst_rtsp_auth_add_basic(auth, basic, token)
    rtsp.gst_rtsp_server_set_auth(server, auth)
    permissions = _load("libgstrtspserver-1.0.so.0", gst_rtsp_permissions_new=pointer)
    allowed = pointer(permissions.gst_rtsp_permissions_new())
    rtsp.gst_rtsp_permissions_add_permission_for_role(allowed, b"viewer", b"media.factory.access", 1)
    rtsp.gst_rtsp_permissions_add_permission_for_role(allowed, b"viewer", b"media.factory.construct", 1)
    rtsp.gst_rtsp_media_factory_set_permissions(factory, allowed)


if __name__ == "__main__":
    _serve(*sys.argv[1:5])
