"""The machine's description: read right on three machines, None where unreadable, and nothing in it that names a person."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import fake_machines
import pytest

from edgetl import machine
from edgetl.machine import description, facts, libraries, sensors, software, storage, throttle


@pytest.mark.parametrize(
    ("architecture", "lines", "instruction_set", "saturates"),
    [
        ("x86_64", "flags\t\t: sse2 avx2 fma avx512_vnni", "x86_64 avx512_vnni", False),
        ("x86_64", "flags\t\t: sse2 avx2 avx_vnni", "x86_64 avx_vnni", False),
        ("x86_64", "flags\t\t: sse2 avx2", "x86_64 avx2", True),
        ("x86_64", "", "x86_64", True),
        ("aarch64", "Features\t: fp asimd crc32", "aarch64 asimd", False),
        ("aarch64", "Features\t: fp asimd asimddp i8mm", "aarch64 i8mm", False),
        ("armv7l", "Features\t: half thumb neon", "armv7l", False),
    ],
)
def test_the_instruction_set_is_the_strongest_that_int8_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, lines: str, instruction_set: str, saturates: bool
) -> None:
    monkeypatch.setattr(facts.platform, "machine", lambda: architecture)
    fake_machines.write(tmp_path, {"proc/cpuinfo": f"processor\t: 0\n{lines}\n\n"})
    assert machine.instruction_set(tmp_path) == instruction_set
    assert machine.saturates_u8s8(tmp_path) is saturates


def test_this_machine_is_described(tmp_path: Path) -> None:
    described = json.loads(json.dumps(machine.describe(folder=tmp_path)))
    assert described["cores"] == machine.cores() == len(os.sched_getaffinity(0))
    assert described["libraries"]["numpy"]
    assert described["python_build"]["implementation"] == "CPython"
    assert described["memory_bytes"] is None or described["memory_bytes"] > 2**20


def test_a_raspberry_pi_is_described(tmp_path: Path) -> None:
    described = machine.describe(fake_machines.write(tmp_path, fake_machines.PI), Path("/var/lib/parts"))
    assert (described["board"], described["cpu"]) == ("Raspberry Pi 5 Model B Rev 1.0", "Cortex-A76")
    assert described["clusters"] == [
        {
            "cores": "0-3", "min_khz": 1500000, "max_khz": 2400000, "low_khz": 1500000, "high_khz": 2400000,
            "governor": "ondemand", "driver": "cpufreq-dt", "now_khz": 1500000,
        }
    ]  # fmt: skip
    assert (described["machine_cores"], described["governor"], described["memory_bytes"]) == (4, "ondemand", 8244992 * 1024)
    assert (described["temperatures"], described["temperature_c"]) == ({"cpu-thermal": 48.686}, 48.686)
    assert described["throttle"]["words"] == ["under-voltage since boot", "throttled since boot"]
    assert described["throttle"]["cooling_state"] is None  # a fan slows nothing down
    assert described["storage"] == {
        "file_system": "ext4", "options": ["noatime"], "device": "mmcblk0", "kind": "sd card", "rotational": False
    }  # fmt: skip
    assert (described["os"], described["kernel"]) == ("Debian GNU/Linux 12 (bookworm)", "6.6.51+rpt-rpi-2712")
    assert (described["jetson"], described["hypervisor"], described["container"], described["cgroup"]["cpus"]) == (None, None, None, None)
    assert described["load_average"] == [0.52, 0.58, 0.59]


def test_memory_and_a_card_are_different_storage(tmp_path: Path) -> None:
    root = fake_machines.write(tmp_path, fake_machines.PI)
    assert storage.describe(Path("/tmp/parts"), root) == {
        "file_system": "tmpfs", "options": [], "device": None, "kind": None, "rotational": None
    }  # fmt: skip


def test_a_jetson_is_described(tmp_path: Path) -> None:
    described = machine.describe(fake_machines.write(tmp_path, fake_machines.ORIN), Path("/"))
    assert (described["board"], described["cpu"]) == ("NVIDIA Jetson Orin Nano Developer Kit", "Cortex-A78AE")
    assert described["jetson"] == {"release": "R36.4.3", "mode": "MAXN_SUPER"}
    assert [(cluster["cores"], cluster["now_khz"]) for cluster in described["clusters"]] == [("0-3", 1728000), ("4-5", 729600)]
    assert described["temperatures"] == {"cpu-thermal": 51.25, "tj-thermal": 52.062}  # the zone that answers with EIO is left out
    assert (described["storage"]["kind"], described["storage"]["options"]) == ("nvme", ["relatime", "data=ordered"])


def test_a_laptop_in_a_container_is_described(tmp_path: Path) -> None:
    described = machine.describe(fake_machines.write(tmp_path, fake_machines.LAPTOP), Path("/"))
    assert (described["board"], described["cpu"]) == ("LENOVO 20XW00ABGE", "11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz")
    assert [(cluster["cores"], cluster["now_khz"]) for cluster in described["clusters"]] == [("0-3", 800000)]
    assert (described["turbo"], described["smt"], described["isolated"], described["hugepages"]) == (False, "on", None, "madvise")
    assert (described["container"], described["cgroup"]) == ("docker", {"cpus": 2.5, "memory_bytes": 2**31})
    assert (described["storage"]["device"], described["storage"]["kind"]) == ("nvme0n1", "nvme")  # the disk under the mapping


def test_the_narrowest_quota_around_a_process_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/parts.slice/bench.service\n",
        "sys/fs/cgroup/cpu.stat": "usage_usec 9\n",
        "sys/fs/cgroup/parts.slice/cpu.max": "150000 100000\n",
        "sys/fs/cgroup/parts.slice/memory.max": "1073741824\n",
        "sys/fs/cgroup/parts.slice/cpu.stat": "nr_periods 9\nnr_throttled 3\n",
        "sys/fs/cgroup/parts.slice/bench.service/cpu.max": "max 100000\n",
        "sys/fs/cgroup/parts.slice/bench.service/memory.max": "max\n",
    }
    root = fake_machines.write(tmp_path, files)
    assert machine.describe(root)["cgroup"] == {"cpus": 1.5, "memory_bytes": 2**30}
    assert sensors.reading(root)["quota_waits"] == 3


@pytest.mark.parametrize("files", [fake_machines.PI, fake_machines.ORIN, fake_machines.LAPTOP], ids=["pi", "orin", "laptop"])
def test_no_record_names_a_person_a_host_or_a_serial_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("EDGETL_DATA", "/home/alice/photos:/mnt/parts-floor-7/more")
    monkeypatch.setenv("EDGETL_TOKEN", "PF2SERIAL")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6")
    root = fake_machines.write(tmp_path, files)
    described = json.dumps([machine.describe(root, Path("/mnt/photos")), sensors.reading(root)])
    assert not [secret for secret in (*fake_machines.SECRETS, "8932f937") if secret in described]
    assert software.environment()["EDGETL_DATA"] == "photos:more"


def _garbage(seed: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(random.Random(f"{seed} {path.name}").randbytes(64))


_SPOILT: dict[str, Callable[[Path], object]] = {
    "folders": Path.mkdir,
    "empty": Path.touch,
    "binary": _garbage(1),
    "binary again": _garbage(2),
    "too many digits": lambda path: path.write_text("9" * 5000),
    "EIO": lambda path: path.symlink_to("/proc/self/mem"),
}


@pytest.mark.parametrize("spoil", _SPOILT.values(), ids=_SPOILT)
def test_a_machine_whose_every_file_is_broken_is_described_anyway(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    for name in {**fake_machines.PI, **fake_machines.ORIN, **fake_machines.LAPTOP, "proc/uptime": ""}:
        if name != ".dockerenv":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            spoil(tmp_path / name)
    described = json.loads(json.dumps(machine.describe(tmp_path, Path("/tmp"))))
    known = ("board", "governor", "temperature_c", "memory_bytes", "machine_cores", "storage", "container", "os", "jetson", "turbo")
    assert [described[name] for name in known] == [None] * len(known)
    assert described["features"] == []
    assert sensors.reading(tmp_path)["cpu"] is None


def test_an_empty_root_is_described_and_read_with_nothing_known(tmp_path: Path) -> None:
    described = machine.describe(tmp_path, tmp_path)
    assert (described["board"], described["storage"], described["clusters"], described["temperatures"]) == (None, None, [], {})
    reading = sensors.reading(tmp_path)
    clocks = ("monotonic_ns", "boottime_ns", "wall_ns", "own_seconds")
    assert {name: value for name, value in reading.items() if name not in clocks} == {
        **dict.fromkeys(("load_average", "cpu", "temperature_c", "frequency_khz", "memory_available_bytes", "quota_waits")),
        "throttle": dict.fromkeys(("bits", "thermal_events", "over_current_events", "cooling_state", "cooling_events")),
    }  # fmt: skip


def test_commands_answer_if_files_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if machine.describe()["board"] or throttle.state()["bits"] is not None:
        pytest.skip("this machine has the files, so no command is run")
    answers = {"vcgencmd": "throttled=0x50005", "nvpmodel": "NV Power Mode: 15W\n0", "getprop": "Pixel 8"}
    for name, answer in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("ANDROID_ROOT", "/system")
    throttle.vcgencmd.cache_clear()
    described = machine.describe()
    throttle.vcgencmd.cache_clear()
    assert described["throttle"]["words"] == ["under-voltage now", "throttled now", "under-voltage since boot", "throttled since boot"]
    assert described["jetson"] == {"release": None, "mode": "15W"}
    assert described["board"] == "Pixel 8 Pixel 8"


@pytest.mark.parametrize(
    ("described", "kept"),
    [
        ("6.6.20+rpt-rpi-v8", "6.6.20+rpt-rpi-v8"),
        ("5.15.148-tegra", "5.15.148-tegra"),
        ("6.8.5-301.fc41.x86_64", "6.8.5-301.fc41.x86_64"),
        ("6.1.2-rt7-johns.laptop", "6.1.2-rt7"),
        ("4.9.337-acme-v12+", "4.9.337"),
    ],
)
def test_a_kernels_release_keeps_its_numbers_and_flavour_but_not_its_builder(described: str, kept: str) -> None:
    assert software.release(described) == kept


def test_two_machines_differ_by_field_and_a_kernels_update_changes_nothing() -> None:
    here = machine.describe()
    updated = {**here, "memory_bytes": (here["memory_bytes"] or 0) * 0.99 or None, "kernel": "9.9"}
    assert description.differences(here, updated) == []
    other = {**here, "cpu": "Cortex-A76", "cores": 99, "emulated": "qemu-user", "memory_bytes": 1}
    assert [described.partition(":")[0] for described in description.differences(here, other)] == [
        "cpu",
        "cores",
        "memory_bytes",
        "emulated",
    ]
    assert f"cores: {here['cores']} and 99" in description.differences(here, other)


def test_the_version_names_the_commit_and_whether_the_package_was_changed_since(tmp_path: Path) -> None:
    package = tmp_path / "edgetl"
    package.mkdir()
    (package / "a.py").write_text("1")
    assert libraries.version(package) == libraries.installed()["edgetl"]  # no checkout
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "one")):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    commit = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert libraries.version(package).endswith(f" (git {commit})")
    (tmp_path / "README").write_text("beside the package")
    assert libraries.version(package).endswith(f" (git {commit})")
    (package / "b.py").write_text("new")
    assert libraries.version(package).endswith(f" (git {commit}, changed)")
    (package / "machine").mkdir()
    (package / libraries.STAMP).write_text("0.1 (git abc)")
    assert libraries.version(package) == "0.1 (git abc)", "a wheel that was built from a checkout names its commit"


def test_a_checkout_without_git_has_the_plain_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    assert libraries.version(tmp_path / "edgetl") == libraries.installed()["edgetl"]  # not a repository
    monkeypatch.setenv("PATH", str(tmp_path))
    assert libraries.version(tmp_path / "edgetl") == libraries.installed()["edgetl"]  # no git


def test_the_library_in_use_reports_its_build() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    details = json.loads(json.dumps(libraries.details("onnxruntime")))
    assert "CPUExecutionProvider" in details["providers"]
    assert libraries.details("fake").keys() == {"blas"}
