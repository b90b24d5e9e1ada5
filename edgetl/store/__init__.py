"""The durable embedding store: every labelled photo as an embedding, and every head trained from them, in one SQLite file.

What survives: whatever a method returned from is on the disk, through a pulled plug or `kill -9`. What is noticed: each row carries
a CRC32 that is checked when the row is read, because SQLite's own `integrity_check` does not see a flipped bit in a value.
"""

from edgetl.store.batches import Batch
from edgetl.store.encoding import EncodingName
from edgetl.store.erasure import Removed
from edgetl.store.events import Event
from edgetl.store.samples import NewSample, Sample, Samples
from edgetl.store.store import Store

__all__ = ["Batch", "EncodingName", "Event", "NewSample", "Removed", "Sample", "Samples", "Store"]
