"""What a vendor's compiler estimates, as a record of its own kind: nothing was run, so it is shown apart and never ranked."""

from __future__ import annotations

import time

from edgetl.bench.method import Method
from edgetl.bench.record import Record, Result, Row, Subject
from edgetl.bundle.bundle import Bundle
from edgetl.bundle.proofs import Proof
from edgetl.errors import BenchError
from edgetl.machine import libraries

METHOD = Method("estimated", queries=1, seconds=0.0, rounds=1, lessons=0, photos=0)
"""One number per target, and nobody measured it."""


def estimated(bundle: Bundle) -> Record:
    """The cycles of a bundle's proofs of kind `estimated`, one configuration per target, which stands as its provider.

    Raises:
        BenchError: the bundle has none.
    """
    proofs = [proof for proof in bundle.proofs if proof.kind == "estimated" and isinstance(proof.details.get("cycles"), int)]
    if not proofs:
        raise BenchError(f"{bundle.path} holds no estimate; edgetl export --matrix --target ethos writes Vela's into it")
    return Record(
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        ended="",
        edgetl=libraries.version(),
        machine={"estimated": ", ".join(sorted({proof.proved_on for proof in proofs}))},
        bundle={"name": bundle.path.name, "backbone": bundle.backbone, "created_by": bundle.created_by, "dim": bundle.dim},
        photos={},
        method=METHOD,
        overhead=None,
        results=tuple(_result(bundle, proof) for proof in proofs),
        rounds=(),
        skipped=(),
        warnings=(),
    )


def _result(bundle: Bundle, proof: Proof) -> Result:
    variant = bundle.variant(proof.variant)
    here, elsewhere = (sum(proof.details.get(side, {}).values()) for side in ("npu_operators", "cpu_operators"))
    subject = Subject(
        backbone=str(bundle.backbone["name"]),
        variant=variant.name,
        precision=variant.precision,
        family=variant.family,
        library=proof.proved_on,
        provider=proof.target,
        placement=f"mixed {here}/{here + elsewhere} operators" if elsewhere else "all of the model",
        threads=1,
        model=variant.sha256,
        size=variant.size,
        fingerprint=bundle.fingerprint(variant).digest,
    )
    note = f"estimated by {proof.proved_on}: {proof.details.get('summary', '')}"
    row = Row.of("backbone", None, [[proof.details["cycles"]]], METHOD, kind="estimated", unit="cycles", note=note)
    return Result(subject, None, (row,))
