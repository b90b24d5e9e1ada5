"""The verb that hands a taught classifier to other programs: backbone and active head become one ordinary file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgetl.bundle.bundle import Bundle, Variant
from edgetl.cli.options import BUNDLE, JSON, progress_bar, required, workstation
from edgetl.cli.output import named, print_json, say_failed
from edgetl.embedding.embedder import Embedder
from edgetl.errors import ExportError, FingerprintMismatch, NotTrained
from edgetl.heads import Head
from edgetl.heads.confidence.rejection import is_nothing
from edgetl.store import Store


@click.command("export-classifier")
@click.argument("store", required=False, type=click.Path())
@BUNDLE
@click.option("-s", "--store", "given", envvar="EDGETL_STORE", type=click.Path(), help="The store (or EDGETL_STORE).")
@click.option("--format", "format_", type=click.Choice(("onnx", "tflite", "openvino")), help="The file's format.")
@click.option("--variant", help="The bundle's variant whose backbone to take; the one that the store was taught with when not given.")
@click.option(
    "--check", type=click.Path(),
    help="A folder of photos that were not taught, 50 or more: say how often the file names edgetl's class; another variant needs it.",
)  # fmt: skip
@click.option("--target", type=click.Choice(("frigate",)), help="Write the folder that this program expects.")
@click.option("-o", "--output", required=True, type=click.Path(), help="The file: NAME.onnx, NAME.tflite or NAME.xml; or the folder.")
@JSON
def export_classifier(
    store: str | None, given: str | None, bundle: str, format_: str | None, variant: str | None, check: str | None, target: str | None,
    output: str, as_json: bool,
) -> None:  # fmt: skip
    """Write backbone and active head of STORE as one ordinary classifier file, for programs that know nothing of edgetl."""
    taught = required(store or given, "STORE")
    if not (format_ or variant or target):
        raise click.UsageError("give --format onnx, tflite or openvino")
    if target == "frigate":
        if format_ not in (None, "tflite"):
            raise click.UsageError(f"Frigate runs TFLite classifiers: leave --format {format_} out")
        format_ = "tflite"
    opened = Bundle.open(bundle)
    with Store.open(taught, None, read_only=True) as kept:
        number, head = _active(kept)
        own, chosen = _variants(opened, kept, variant, format_, checked=check is not None)
        classes = _classes(head, f"head {number} ({head.kind}) of {Path(taught).name}")
        with _answers(opened, own, kept, head, check) as answers:
            fused = workstation("edgetl_exporters.fused").fuse(opened, chosen, classes, Path(output), target=target, answers=answers)
    if as_json:
        print_json(fused)
    else:
        _print(fused)


def _active(store: Store) -> tuple[int, Head]:
    active = store.active()
    if active is None:
        raise NotTrained(f"{store.path}: no head is active; train one with: edgetl train -s {store.path}")
    head = Head.from_bytes(store.head_bytes(active.id), f"{store.path}: head {active.id}")
    if len(head.labels) == 1:
        raise ExportError(
            f"{store.path}: head {active.id} knows one class, {head.labels[0]!r}, and a classifier file, which cannot reject, would give "
            "it to everything; add a second class (or one named 'background') and train again"
        )
    return active.id, head


def _variants(bundle: Bundle, store: Store, name: str | None, format_: str | None, *, checked: bool) -> tuple[Variant, Variant]:
    """The store's own variant; and the one to take: itself, else one proved equal to it, else, checked, one of the same precision."""
    asked = [bundle.variant(name)] if name else list(bundle.variants.values())
    wanted = [variant for variant in asked if format_ in (None, variant.format)]
    if not wanted:
        has = ", ".join(variant.name for variant in asked)
        raise ExportError(f"{bundle.path}: {f'{name} is' if name else f'it holds {has} and'} no variant in the format {format_}")
    theirs = store.fingerprint
    own = next((variant for variant in bundle.variants.values() if bundle.fingerprint(variant) == theirs), None)
    if own is None:
        lines = "\n  ".join(theirs.differences(bundle.fingerprint(wanted[0])))
        names = ", ".join(variant.name for variant in wanted)
        raise FingerprintMismatch(
            f"{store.path} was not taught with {bundle.path} ({names}); store != bundle:\n  {lines}\ngive its own bundle"
        )

    def otherness(variant: Variant) -> tuple[bool, bool, bool]:
        equal = bundle.equivalent(bundle.fingerprint(variant), theirs)
        return variant.name != own.name, not equal, variant.precision != own.precision

    chosen = min(wanted, key=otherness)
    if not checked and not bundle.equivalent(bundle.fingerprint(chosen), theirs):
        raise FingerprintMismatch(
            f"{store.path} was taught with {own.name}, and its head would read the embeddings of {chosen.name} only nearly right; export "
            f"{own.name}, teach a store with --variant {chosen.name}, or give --check FOLDER with photos that were not taught: the file is "
            "written where it names the classes that edgetl names"
        )
    return own, chosen


@contextlib.contextmanager
def _answers(bundle: Bundle, own: Variant, store: Store, head: Head, folder: str | None) -> Iterator[Any]:
    """What edgetl says with the store's own variant; None where nothing is to be checked."""
    if folder is None:
        yield None
        return
    with contextlib.closing(Embedder.open(bundle, variant=own.name)) as embedder, progress_bar("checking") as progress:
        yield workstation("edgetl_exporters.fused").Answers(
            own.name, Path(folder), lambda pixels: head.probabilities(embedder.infer(pixels)),
            lambda digest: store.find(digest) is not None, progress,
        )  # fmt: skip


def _classes(head: Head, about: str) -> Any:
    return workstation("edgetl_exporters.fused").Classes(
        head.labels, head.weight, head.bias, head.temperature, head.rooted, head.probabilities, about, tuple(_left_out(head))
    )


def _left_out(head: Head) -> list[str]:
    """What the head does that one output of probabilities cannot, in sentences."""
    said = []
    if head.rejection is not None:
        said.append("Not in this file: edgetl's rejection of unknown things; whatever it is shown gets one of the classes.")
    if head.conformal is not None:
        said.append("Not in this file: edgetl's sets of classes at a confidence (--confidence).")
    nothing = [label for label in head.labels if is_nothing(label)]
    if nothing:
        said.append(f"Ordinary classes here, which edgetl answers with no label: {', '.join(nothing)}.")
    return said


def _print(fused: Any) -> None:
    proof = fused.agreement
    folder = Path(fused.path) if fused.target else Path(fused.path).parent
    for file in fused.files:
        click.echo(f"{folder / file.path}  {file.size / 1e6:.2f} MB  sha256 {file.sha256}")
    click.echo(f"classes    {len(fused.labels)}: {named(fused.labels)}")
    click.echo(f"backbone   {fused.variant}; the head adds {fused.added / 1e3:.1f} kB")
    click.echo(
        f"proved     on {proof.library}: same class as backbone and head apart on {proof.top1} pictures, probabilities within "
        f"{proof.max_abs:.1e} (bound {proof.bound:.0e})"
    )
    if fused.check is not None:
        check = fused.check
        click.echo(
            f"checked    same class as edgetl with {check.variant} on {check.top1} photos that were not taught, probabilities within "
            f"{check.max_abs:.2g} (at least {100 * check.bound:.0f} % the same)"
        )
        if check.known:
            click.echo(f"note: passed over in the check: {check.known} photos that were taught, or are there twice", err=True)
        say_failed(check.failed)
    for sentence in (*fused.expects, *fused.left_out):
        click.echo(f"note: {sentence}", err=True)
