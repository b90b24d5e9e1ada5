"""Latency of a bundle on this machine, variant by variant, as a record that keeps every raw sample.

record = edgetl.bench.run("lite0.edgetl")
print(edgetl.bench.table(record))
edgetl.bench.write(record, "bench.json")
"""

from edgetl.bench.record import Record, Row, Skipped, percentile, table, write
from edgetl.bench.runner import run

__all__ = ["Record", "Row", "Skipped", "percentile", "run", "table", "write"]
