"""What a process has opened, as records name it."""

from __future__ import annotations

from edgetl.bench.record import Subject
from edgetl.embedding.embedder import Embedder


def subject(embedder: Embedder) -> Subject:
    """The subject of everything that is measured with this embedder."""
    runtime, variant, bundle = embedder.runtime, embedder.variant, embedder.bundle
    return Subject(
        backbone=str(bundle.backbone["name"]),
        variant=variant.name,
        precision=variant.precision,
        family=variant.family,
        library=runtime.library,
        provider=runtime.provider,
        placement=runtime.placement,
        threads=runtime.threads,
        model=variant.sha256,
        size=variant.size,
        fingerprint=embedder.fingerprint.digest,
    )
