"""The reference record of the machine that it runs on: reference/bench-TARGET.json.

    python device_tests/bench.py lite0.edgetl                              measured, on this machine
    tools/emulate aarch64 -- python device_tests/bench.py lite0.edgetl --variant tflite-int8
                                                                           emulated: the pipeline on a Cortex-A72, not its times

A reference is small (some hundred queries of the int8 variants and their float ones) and says how fast such a machine is, not whether a
change made it faster: for that, measure before and after it on one machine, and compare. A partial record becomes no reference, and an
emulated one replaces no measured one.
"""

import argparse
import sys
from pathlib import Path

import board

from edgetl import bench
from edgetl.errors import EdgetlError

FOLDER = Path(__file__).parent / "reference"
SCENARIOS = ("backbone", "predict-file", "learn-one", "cold", "memory")
MEASURED = bench.Method("reference", queries=372, seconds=1.0, rounds=4, trainings=3, warm_up_seconds=3.0, photos=16)
EMULATED = bench.Method("emulated", queries=4, seconds=0.0, rounds=2, trainings=1, window=1, warm_up_seconds=0.001, photos=16)
"""Enough to see that every step works; its times are an emulator's."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--labelled", help="a folder ROOT/CLASS/PHOTO: top-1 beside every latency")
    parser.add_argument("--variant", action="append", help="only these; may be repeated")
    options = parser.parse_args()
    try:
        record = measured(options.bundle, options.variant, options.labelled)
        keep(record, FOLDER / f"bench-{board.target()}.json")
    except EdgetlError as error:
        sys.exit(f"error: {error}")


def keep(record: bench.Record, path: Path) -> None:
    """Shows a record and makes it the reference, unless it is partial, or emulated and the existing one is measured."""
    print(bench.table(record))
    if record.ended or not record.results:
        sys.exit(f"{path.name} stays as it was: {record.ended or 'nothing could be measured'}")
    if kind(record) != "measured" and path.exists() and kind(bench.read(path)) == "measured":
        sys.exit(f"{path.name} stays as it was: it is measured, this is {kind(record)}")
    bench.write(record, path)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def kind(record: bench.Record) -> str:
    """Of its rows, which are all of one."""
    return next(row.kind for _, row in record.rows())


def measured(bundle: str, variants: list[str] | None, labelled: str | None) -> bench.Record:
    return bench.run(
        bundle, variants=variants, labelled=labelled, scenarios=SCENARIOS, method=EMULATED if board.EMULATED else MEASURED,
        progress=lambda done, total: print(f"\r{done}/{total}", end="\n" if done == total else "", file=sys.stderr),
    )  # fmt: skip


main()
