"""Machines as folders of the files in which Linux describes them; each holds secrets that no record may repeat."""

from __future__ import annotations

from pathlib import Path

SECRETS = ("10000000deadbeef", "shop-floor-7", "dc:a6:32:01:02:03", "PF2SERIAL", "1421620012345", "alice")
_SECRET_FILES = {
    "etc/hostname": "shop-floor-7\n",
    "proc/sys/kernel/hostname": "shop-floor-7\n",
    "sys/class/net/eth0/address": "dc:a6:32:01:02:03\n",
}


def _policy(number: int, cores: str, least: int, most: int, now: int, governor: str, driver: str) -> dict[str, str]:
    values = {
        "related_cpus": cores, "cpuinfo_min_freq": least, "cpuinfo_max_freq": most, "scaling_min_freq": least, "scaling_max_freq": most,
        "scaling_cur_freq": now, "scaling_governor": governor, "scaling_driver": driver,
    }  # fmt: skip
    own = {f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq": f"{now}\n" for core in cores.split()}
    return {**{f"sys/devices/system/cpu/cpufreq/policy{number}/{name}": f"{value}\n" for name, value in values.items()}, **own}


def _arm(parts: list[str], features: str) -> str:
    return "\n".join(
        f"processor\t: {i}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\n"
        f"CPU part\t: {part}\nCPU revision\t: 1\n"
        for i, part in enumerate(parts)
    )


PI = {
    **_SECRET_FILES,
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/serial-number": "10000000deadbeef\0",
    "proc/cpuinfo": _arm(["0xd0b"] * 4, "fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp")
    + "\nRevision\t: c04170\nSerial\t\t: 10000000deadbeef\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "proc/meminfo": "MemTotal:        8244992 kB\nMemFree:  6000000 kB\nMemAvailable:    7340032 kB\nSwapTotal:        102384 kB\n",
    "proc/loadavg": "0.52 0.58 0.59 1/189 4321\n",
    "proc/stat": "cpu  1000 10 300 8000 50 5 15 20 0 0\ncpu0 250 2 75 2000 12 1 4 5 0 0\n",
    "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-3.scope\n",
    "proc/self/mountinfo": "25 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"
    "31 25 0:24 / /tmp rw,nosuid - tmpfs tmpfs rw,size=4G\n",
    "proc/sys/kernel/osrelease": "6.6.51+rpt-rpi-2712\n",
    "proc/sys/kernel/version": "#1 SMP PREEMPT Debian 1:6.6.51-1+rpt3 (2024-10-08)\n",
    "proc/sys/kernel/randomize_va_space": "2\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n',
    "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": "50000\n",
    "sys/devices/system/cpu/online": "0-3\n",
    **_policy(0, "0 1 2 3", 1500000, 2400000, 1500000, "ondemand", "cpufreq-dt"),
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48686\n",
    "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device0/cur_state": "3\n",
    "sys/devices/mmc/block/mmcblk0/mmcblk0p2/partition": "2\n",
    "sys/devices/mmc/block/mmcblk0/queue/rotational": "0\n",
    "sys/devices/mmc/block/mmcblk0/device/type": "SD\n",
    "sys/dev/block/179:2": "-> ../../devices/mmc/block/mmcblk0/mmcblk0p2",
}

ORIN = {
    **_SECRET_FILES,
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/device-tree/serial-number": "1421620012345\0",
    "proc/cpuinfo": _arm(["0xd42"] * 6, "fp asimd asimdhp asimddp"),
    "proc/meminfo": "MemTotal:        7802508 kB\nMemAvailable:    5000000 kB\nSwapTotal:       3901248 kB\n",
    "proc/self/mountinfo": "25 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw,data=ordered\n"
    "40 25 0:44 / /mnt/photos rw - nfs4 alice@shop-floor-7:/export rw,addr=10.0.0.5\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
    "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=1 >\n",
    "var/lib/nvpmodel/status": "pmode:0002 fmode:quiet\n",
    "sys/devices/system/cpu/online": "0-5\n",
    **_policy(0, "0 1 2 3", 115200, 1728000, 1728000, "schedutil", "tegra194"),
    **_policy(4, "4 5", 115200, 1728000, 729600, "schedutil", "tegra194"),
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "51250\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "-> /proc/self/mem",  # EIO, much as a zone whose part is switched off
    "sys/class/thermal/thermal_zone8/type": "tj-thermal\n",
    "sys/class/thermal/thermal_zone8/temp": "52062\n",
    "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0\n",
    "sys/class/thermal/cooling_device0/cur_state": "0\n",
    "sys/class/thermal/cooling_device0/stats/total_trans": "4\n",
    "sys/class/hwmon/hwmon1/name": "ina3221\n",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
    "sys/class/hwmon/hwmon1/in1_input": "5000\n",
    "sys/class/hwmon/hwmon1/curr1_input": "1000\n",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV\n",
    "sys/class/hwmon/hwmon1/in2_input": "5000\n",
    "sys/class/hwmon/hwmon1/curr2_input": "300\n",
    "sys/class/hwmon/hwmon2/name": "soctherm_oc\n",
    "sys/class/hwmon/hwmon2/oc1_event_cnt": "0\n",
    "sys/class/hwmon/hwmon2/oc3_event_cnt": "7\n",
    "sys/devices/pci/nvme/nvme0n1/nvme0n1p1/partition": "1\n",
    "sys/devices/pci/nvme/nvme0n1/queue/rotational": "0\n",
    "sys/dev/block/259:1": "-> ../../devices/pci/nvme/nvme0n1/nvme0n1p1",
}

LAPTOP = {
    **_SECRET_FILES,
    ".dockerenv": "",
    "sys/class/dmi/id/sys_vendor": "LENOVO\n",
    "sys/class/dmi/id/product_name": "20XW00ABGE\n",
    "sys/class/dmi/id/product_serial": "PF2SERIAL\n",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: 11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz\nflags\t\t: fpu avx2 avx512_vnni\n",
    "proc/meminfo": "MemTotal:       16000000 kB\nMemAvailable:    9000000 kB\nSwapTotal:             0 kB\n",
    "proc/self/cgroup": "12:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc\n0::/docker/abc\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 900\nnr_throttled 12\nthrottled_time 123456\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648\n",
    "proc/self/mountinfo": "25 1 253:0 / / rw,relatime shared:1 - btrfs /dev/mapper/shop--floor--7-root rw,compress=zstd:1,subvol=/@\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/devices/system/cpu/online": "0-3\n",
    "sys/devices/system/cpu/smt/control": "on\n",
    "sys/devices/system/cpu/isolated": "\n",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "1\n",
    **{k: v for core in range(4) for k, v in _policy(core, str(core), 400000, 4700000, 800000 + core, "powersave", "intel_pstate").items()},
    **{f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count": f"{core}\n" for core in range(4)},
    **{f"sys/devices/system/cpu/cpu{core}/thermal_throttle/package_throttle_count": "5\n" for core in range(4)},
    "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone0/temp": "67000\n",
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "1000000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:0:0/name": "core\n",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "900000\n",
    "sys/class/powercap/intel-rapl:1/name": "psys\n",
    "sys/class/powercap/intel-rapl:1/energy_uj": "5000000\n",
    "sys/devices/pci/nvme/nvme0n1/nvme0n1p3/partition": "3\n",
    "sys/devices/pci/nvme/nvme0n1/queue/rotational": "0\n",
    "sys/devices/virtual/block/dm-0/slaves/nvme0n1p3": "-> ../../../../pci/nvme/nvme0n1/nvme0n1p3",
    "sys/dev/block/253:0": "-> ../../devices/virtual/block/dm-0",
}


def write(root: Path, files: dict[str, str]) -> Path:
    """Makes the files below `root`; a content that begins with an arrow is a link."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content)
    return root
