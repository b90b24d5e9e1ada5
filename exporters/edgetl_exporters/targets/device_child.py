"""Runs in a device's Python (see child.py): embeds photos with edgetl's own runtime, one at a time. Needs the device package alone."""

import json
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import safetensors.numpy

from edgetl.errors import RuntimeUnavailable
from edgetl.runtimes import open_runtime

folder = Path(sys.argv[1])
settings = json.loads((folder / "settings.json").read_text())
tensors = safetensors.numpy.load_file(folder / "tensors.safetensors")["tensors"]
try:
    runtime = open_runtime(settings["family"], {name: (folder / name).read_bytes() for name in settings["files"]}, 1)
except RuntimeUnavailable as error:
    (folder / "unavailable.txt").write_text(str(error), "utf-8")
    sys.exit()
start = perf_counter()
embeddings = np.concatenate([runtime.embed(tensor[None]) for tensor in tensors])
seconds = (perf_counter() - start) / len(tensors)
if len(embeddings) != len(tensors):  # OpenVINO 2026.4 did so with int8 on an emulated Cortex-A72
    sys.exit(f"{runtime.library} returns {len(embeddings)} embeddings for {len(tensors)} photos")
safetensors.numpy.save_file({"embeddings": embeddings}, folder / "embeddings.safetensors")
(folder / "report.json").write_text(json.dumps({"library": runtime.library, "seconds_per_photo": seconds}))
