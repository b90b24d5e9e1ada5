"""Camera URIs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from edgetl.errors import CameraError

_NETWORK = ("http", "https", "rtsp", "rtsps")
VIDEOS = frozenset({".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".ts", ".h264", ".mjpeg", ".mjpg"})


@dataclasses.dataclass(frozen=True)
class Address:
    """A camera's URI, taken apart.

    Attributes:
        scheme: `folder`, `fake`, `video`, `http`, `rtsp`, `v4l2`, `csi` or `stdin`.
        target: a path, or the URI that the library opens.
        options: of the query, for the schemes that have some.
        shown: for messages, without a password.
    """

    scheme: str
    target: str = dataclasses.field(repr=False)  # it may hold a password
    options: Mapping[str, str]
    shown: str

    def number(self, name: str, default: float) -> float:
        """An option as a number above 0.

        Raises:
            CameraError: it is not one (`camera-uri`).
        """
        try:
            value = float(self.options.get(name, default))
        except ValueError:
            value = 0.0
        if not 0 < value < 1e6:
            raise CameraError(f"{self.shown}: {name} must be a number above 0", code="camera-uri", uri=self.shown, option=name)
        return value


def parse(uri: str) -> Address:
    """Takes a URI apart.

    Raises:
        CameraError: no known kind (`camera-uri`), or a file that is missing (`camera-unavailable`).
    """
    if uri == "-":
        return Address("stdin", "-", {}, "-")
    if re.fullmatch(r"/dev/video\d+", uri):
        return Address("v4l2", uri, {}, uri)
    if "://" not in uri:
        return _path(uri, uri, {})
    if uri.partition("://")[0].lower() in _NETWORK:
        return _network(uri)
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise CameraError(f"{uri}: not a camera's URI: {error}", code="camera-uri", uri=uri) from error
    options, shown = dict(parse_qsl(parts.query)), uri
    path = unquote(parts.netloc + parts.path)
    if parts.scheme == "file":
        return _path(path, shown, options)
    if parts.scheme == "fake":
        return dataclasses.replace(_path(path, shown, options), scheme="fake")
    if parts.scheme == "v4l2":
        return Address("v4l2", path, options, shown)
    if parts.scheme == "csi":
        return Address("csi", path or "0", options, shown)
    known = "/dev/video0, v4l2://, csi://0, rtsp://, http://, file://, fake://, a folder, a video, or -"
    raise CameraError(f"{shown}: not a camera. Expected {known}", code="camera-uri", uri=shown)


def _network(uri: str) -> Address:
    """An HTTP or RTSP address. What stands before the last @ is taken for a user and password, also if a character there is not encoded."""
    scheme, _, rest = uri.partition("://")
    before, at, after = rest.rpartition("@")
    shown = f"{scheme}://{after}"
    try:
        if re.search(r"[/?#]", before):
            # Either a password that is not encoded, or an @ in the path: nothing of it is shown.
            raise CameraError(f"{shown}: write / ? # and @ as %2F %3F %23 and %40 in a password or path", code="camera-uri", uri=shown)
        parts = urlsplit(shown)
        if not parts.hostname or (parts.port is not None and not parts.port):
            raise CameraError(f"{shown}: it names no host", code="camera-uri", uri=shown)
    except ValueError as error:
        raise CameraError(f"{shown}: host or port cannot be read ({error})", code="camera-uri", uri=shown) from None
    return Address("http" if scheme.lower().startswith("http") else "rtsp", f"{scheme.lower()}://{before}{at}{after}", {}, shown)


def _path(path: str, shown: str, options: Mapping[str, str]) -> Address:
    if Path(path).is_dir():
        return Address("folder", path, options, shown)
    if not Path(path).exists():
        raise CameraError(f"{shown}: no such file, folder or camera", code="camera-unavailable", uri=shown)
    if Path(path).suffix.lower() in VIDEOS:
        return Address("video", path, options, shown)
    raise CameraError(f"{shown}: not a video. Expected {', '.join(sorted(VIDEOS))}, or a folder of photos", code="camera-uri", uri=shown)
