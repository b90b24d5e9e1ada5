"""The conformance suite of device_tests/ passes here, on every variant of the real bundle."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_every_variant_of_the_real_bundle_passes_the_device_suite(lite0: Path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "device_tests")]
    done = subprocess.run(command, env={**os.environ, "EDGETL_BUNDLE": str(lite0)}, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed.group(1)) == 2 * 6, done.stdout
    assert "skipped" not in done.stdout
