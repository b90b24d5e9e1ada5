"""Latency, memory and accuracy of a bundle on this machine, as a record that keeps every sample.

record = edgetl.bench.run("lite0.edgetl", method=edgetl.bench.QUICK)
print(edgetl.bench.table(record))
edgetl.bench.write(record, "bench.json")
"""

from edgetl.bench.files import read, write
from edgetl.bench.measuring.runner import run
from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.method import FULL, QUICK, Method
from edgetl.bench.record import Record, Result, Row, Skipped, Subject
from edgetl.bench.screen import table

__all__ = [
    "FULL", "QUICK", "SCENARIOS", "Method", "Record", "Result", "Row", "Skipped", "Subject", "read", "run", "table", "write",
]  # fmt: skip
