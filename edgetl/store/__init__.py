"""The durable embedding store: every labelled photo as an embedding, and every head trained from them, in one SQLite file.

Durable: when a method returns, its change is on the disk and survives a power failure or `kill -9`. Checked: each row carries a CRC32 that
is verified when the row is read, because SQLite's own `integrity_check` does not notice a flipped bit in a value.
"""

from edgetl.store.batches import SampleBatch, StoredSamples
from edgetl.store.erasure import Removed
from edgetl.store.events import Event
from edgetl.store.samples import NewSample, Sample, TakenSamples
from edgetl.store.store import Store

__all__ = ["Event", "NewSample", "Removed", "Sample", "SampleBatch", "Store", "StoredSamples", "TakenSamples"]
