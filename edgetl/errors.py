"""Every error edgetl raises on purpose, as one tree.

Each class also refines the builtin that a caller who does not know edgetl would catch::

    EdgetlError
    ├── PhotoError (ValueError)                 a photo that cannot be used
    ├── LabelError (ValueError)                 a class name that is not allowed
    ├── BundleError (ValueError)                a bundle that is not what it says
    │   ├── BundleMissing (FileNotFoundError)   a bundle, or a file it lists, is not there
    │   └── SelfTestFailed                      this machine computes something else than the exporter did
    ├── RuntimeUnavailable (ImportError)        a runtime that is not installed or does not work here
    ├── StoreError (OSError)                    the embedding store cannot do what was asked
    │   ├── StoreLocked (BlockingIOError)       another process is writing to it
    │   ├── StoreCorrupt                        a row or the file fails its check
    │   └── FingerprintMismatch (ValueError)    the store holds embeddings of another model
    ├── TrainError (ValueError)                 there is not enough to train from
    │   └── OutOfMemory (MemoryError)           a training needs more memory than there is
    ├── HeadError (ValueError)                  a head file that is not one, or an embedding that no head can read
    ├── NotTrained (LookupError)                no head is active
    ├── CameraError (OSError)                   a camera that cannot be opened or gives no frames
    ├── InboxError (OSError)                    the inbox cannot do what was asked
    ├── WatchError (ValueError)                 a command to a watched camera that cannot be carried out
    ├── MqttError (ValueError)                  a broker that cannot be named like this
    ├── ServeError (ValueError)                 a request that the field station does not answer
    ├── ConfigError (ValueError)                an edgetl.toml that cannot be used
    ├── ServiceError (OSError)                  a service that cannot be installed
    ├── BenchError (RuntimeError)               a measurement that failed
    │   ├── RecordError (ValueError)            a bench record that cannot be read, or compared with another
    │   └── RemoteError (ConnectionError)       another machine that cannot be measured from here
    └── ExportError (RuntimeError)              an export that failed
        ├── WeightsMissing (FileNotFoundError)  backbone weights that are not on this machine
        ├── CalibrationError (ValueError)       calibration photos that cannot calibrate
        └── ParityError                         a variant outside its recipe's bound

A message says what was given, what was expected, the file's name, and the command that fixes it, if any. Every class has a stable `code`.
"""

from __future__ import annotations

from typing import Any


class EdgetlError(Exception):
    """The root: catch this to catch every error that edgetl raises on purpose.

    Attributes:
        code: for programs, kebab-case, the same in every version: the class's own, or a narrower one given with the error.
        values: what went in, e.g. a path, a count or a limit; JSON-able.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, **values: Any) -> None:
        """An error with its message; `code` narrows the class's."""
        super().__init__(message)
        self.values = values
        if code is not None:
            self.code = code

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints: code, message and values."""
        return {"code": self.code, "message": str(self), **self.values}


class PhotoError(EdgetlError, ValueError):
    """A photo that cannot be used: corrupt, truncated, animated, too large, or not an image."""

    code = "photo-unusable"


class LabelError(EdgetlError, ValueError):
    """A class name that is not allowed (see :func:`edgetl.types.check_label`)."""

    code = "label-not-allowed"


class BundleError(EdgetlError, ValueError):
    """A bundle that is not what it says: changed bytes, an unknown version, a malformed manifest."""

    code = "bundle-damaged"


class BundleMissing(BundleError, FileNotFoundError):
    """A bundle, or a file or variant that it should hold, is not there."""

    code = "bundle-missing"


class SelfTestFailed(BundleError):
    """The self-test image embeds to something else here than where the bundle was exported."""

    code = "self-test-failed"


class RuntimeUnavailable(EdgetlError, ImportError):
    """A runtime that is not installed, or is installed and does not work on this machine."""

    code = "runtime-unavailable"


class StoreError(EdgetlError, OSError):
    """The embedding store cannot do what was asked: unreadable, full, or read-only after an I/O error."""

    code = "store-failed"


class StoreLocked(StoreError, BlockingIOError):
    """Another process has the store open for writing."""

    code = "store-locked"


class StoreCorrupt(StoreError):
    """A row, or the whole file, fails its check."""

    code = "store-damaged"


class FingerprintMismatch(StoreError, ValueError):
    """The store holds embeddings that another model, image spec, runtime or precision computed."""

    code = "model-mismatch"


class TrainError(EdgetlError, ValueError):
    """There is not enough to train from: no sample, or a single class."""

    code = "not-trainable"


class OutOfMemory(TrainError, MemoryError):
    """A training needs more memory than there is; it was not begun."""

    code = "out-of-memory"


class HeadError(EdgetlError, ValueError):
    """A head file that is not what it says, or an embedding of another length or with a NaN."""

    code = "head-unusable"


class NotTrained(EdgetlError, LookupError):
    """No head is active, so there is nothing to predict with."""

    code = "not-trained"


class CameraError(EdgetlError, OSError):
    """A camera that cannot be opened, or gives no frames."""

    code = "camera-unavailable"


class InboxError(EdgetlError, OSError):
    """The inbox cannot do what was asked: damaged, full disk, or no such frame."""

    code = "inbox-failed"


class WatchError(EdgetlError, ValueError):
    """A command to a watched camera cannot be carried out."""

    code = "station-failed"


class MqttError(EdgetlError, ValueError):
    """A broker's address that is not one, or a missing library."""

    code = "mqtt-uri"


class ServeError(EdgetlError, ValueError):
    """A request that the field station does not answer, or a field station that cannot start."""

    code = "request-rejected"


class ConfigError(EdgetlError, ValueError):
    """An `edgetl.toml` cannot be used."""

    code = "config-unreadable"


class ServiceError(EdgetlError, OSError):
    """A service cannot be installed."""

    code = "systemd-failed"


class BenchError(EdgetlError, RuntimeError):
    """A measurement that could not be made."""

    code = "not-measured"


class RecordError(BenchError, ValueError):
    """A bench record that is damaged, changed by hand, of a newer version, or of another machine than its counterpart."""

    code = "record-unusable"


class RemoteError(BenchError, ConnectionError):
    """A machine that cannot be reached, cannot run edgetl, or was lost on the way."""

    code = "remote-failed"


class ExportError(EdgetlError, RuntimeError):
    """An export that failed."""

    code = "not-exported"


class WeightsMissing(ExportError, FileNotFoundError):
    """Backbone weights that are not on this machine and could not be downloaded."""

    code = "weights-missing"


class CalibrationError(ExportError, ValueError):
    """Calibration photos that are missing, too few, random or constant."""

    code = "calibration-photos-unusable"


class ParityError(ExportError):
    """A variant whose embeddings are further from the float ones than its recipe allows."""

    code = "parity-below-bound"
