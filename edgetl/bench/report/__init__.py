"""The report: records as one HTML page that needs nothing but itself, light or dark as the reader's device is."""

from edgetl.bench.report.page import render, write

__all__ = ["render", "write"]
