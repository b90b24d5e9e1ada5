"""The command line: the same verbs as :class:`edgetl.Classifier`. Results on stdout, talk on stderr; 0 ok, 1 refused, 2 usage."""

from __future__ import annotations

import functools
import importlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import click

from edgetl import bundle as bundles
from edgetl.classifier import Classifier
from edgetl.errors import EdgetlError, ExportError, PhotoError
from edgetl.intake import Progress
from edgetl.tables import render
from edgetl.types import HEAD_KINDS, AddReport, HeadInfo, Proportion, to_json

Verb = TypeVar("Verb", bound=Callable[..., Any])


class _Refusing(click.Group):
    """Turns every error that edgetl raises on purpose into a sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgetlError as error:
            click.echo(f"refused: {error}", err=True)
            ctx.exit(1)


def _options(*options: Callable[[Any], Any]) -> Callable[[Verb], Verb]:
    return lambda verb: functools.reduce(lambda made, option: option(made), reversed(options), verb)


_BUNDLE = click.option("-m", "--bundle", required=True, envvar="EDGETL_BUNDLE", type=click.Path(), help="The bundle (or EDGETL_BUNDLE).")
_STORE = click.option("-s", "--store", required=True, envvar="EDGETL_STORE", type=click.Path(), help="The store (or EDGETL_STORE).")
_MODEL = _options(
    _BUNDLE,
    _STORE,
    click.option("--runtime", help="litert, onnxruntime or openvino (or EDGETL_RUNTIME); an error if it does not work here."),
    click.option("--variant", help="A variant of the bundle, e.g. tflite-int8; an error if it does not work here."),
    click.option("-t", "--threads", type=click.IntRange(1), help="Threads of the runtime; every core, at most 4, when not given."),
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_PHOTOS = _options(
    click.argument("photos", nargs=-1, type=click.Path()),
    click.option("-i", "--input", "more", multiple=True, type=click.Path(), help="A photo or folder; may be repeated."),
)


@click.group(cls=_Refusing, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("edgetl"), prog_name="edgetl")
def main() -> None:
    """Teach a camera new things where it stands."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("edgetl")
    logger.handlers, logger.level, logger.propagate = [handler], logging.INFO, False


@main.command()
@click.option("--backbone", default="efficientnet_lite0", show_default=True, help="Which network.")
@click.option("--formats", default="onnx,tflite,openvino", show_default=True, help="Comma-separated.")
@click.option("--precisions", default="fp32,int8", show_default=True, help="Comma-separated: fp32, fp16 (OpenVINO), int8.")
@click.option("--calibrate", type=click.Path(), help="A folder of 120 or more photos like those the camera will see; int8 needs it.")
@click.option("--weights", type=click.Path(), help="A local state dict instead of the backbone's published weights.")
@click.option("--random-weights", is_flag=True, help="Untrained weights, marked so in the bundle: for testing the plumbing only.")
@click.option(
    "--onnx-recipe", default="auto", show_default=True, help="The int8 recipe for ONNX; auto suits this machine's instruction set."
)
@click.option("--openvino-recipe", default="auto", show_default=True, help="The same for OpenVINO.")
@click.option("--seed", default=0, show_default=True, help="Chooses the calibration photos.")
@click.option("-o", "--output", required=True, type=click.Path(), help="NAME.edgetl for one file, or a folder.")
@_JSON
def export(formats: str, precisions: str, calibrate: str | None, output: str, as_json: bool, **settings: Any) -> None:
    """Export and quantise a frozen backbone to a bundle (on a workstation)."""
    exporters = _optional("edgetl_exporters", "export")
    with _progress("exporting") as progress:
        result = exporters.export(
            formats=_split(formats), precisions=_split(precisions), photos=calibrate, output=Path(output), progress=progress, **settings
        )
    if as_json:
        _print_json(result)
    else:
        _print_bundle(bundles.Bundle.open(output))


@main.command()
@click.argument("bundle", required=False, type=click.Path())
@click.option("-m", "--bundle", "named", envvar="EDGETL_BUNDLE", type=click.Path(), help="The bundle (or EDGETL_BUNDLE).")
@_JSON
def inspect(bundle: str | None, named: str | None, as_json: bool) -> None:
    """Show what a bundle holds, and check every byte of it."""
    opened = bundles.Bundle.open(_required(bundle or named, "BUNDLE"))
    files = opened.verify()
    if as_json:
        variants = {
            name: {**to_json(v), "size": v.size, "sha256": v.sha256, "fingerprint": opened.fingerprint(v).digest}
            for name, v in opened.variants.items()
        }
        _print_json({"backbone": opened.backbone, "image": opened.image, "dim": opened.dim, "calibration": opened.calibration,
                     "variants": variants, "files_checked": files})  # fmt: skip
    else:
        _print_bundle(opened)
        click.echo(f"{files} files, every sha256 is right", err=True)


@main.command()
@_PHOTOS
@_MODEL
@click.option("-l", "--label", help="The class of every photo given; without it, folders are ROOT/CLASS/PHOTO.")
@_JSON
def add(photos: tuple[str, ...], more: tuple[str, ...], label: str | None, as_json: bool, **model: Any) -> None:
    """Teach photos: embed each once and keep it. Train afterwards."""
    with _opened(model) as shop, _progress("adding") as progress:
        reports = [_add(shop, Path(path), label, progress) for path in _given(photos, more)]
        counts = shop.counts
    added = tuple(photo for report in reports for photo in report.photos)
    failed = tuple(failure for report in reports for failure in report.failed)
    whole = AddReport(added, failed, counts, sum(report.seconds for report in reports))
    if as_json:
        _print_json(whole)
    else:
        click.echo(render(("class", "photos"), list(counts.items())))
        statuses = ", ".join(f"{whole.number(status)} {status}" for status in ("added", "known", "relabelled"))
        click.echo(f"{statuses}, {len(failed)} not used, in {whole.seconds:.1f} s", err=True)
        for photo in added:
            if photo.status == "relabelled":
                click.echo(f"relabelled: {photo.source}: {photo.previous} -> {photo.label}", err=True)
        _say_failed(failed)
    if failed and not added:
        sys.exit(1)


@main.command()
@_STORE
@click.option("--head", "kind", type=click.Choice(HEAD_KINDS), default="auto", show_default=True, help="The algorithm.")
@_JSON
def train(store: str, kind: Any, as_json: bool) -> None:
    """Train a head from the kept embeddings; no photo is touched."""
    with Classifier.open(None, store) as shop:
        report = shop.train(kind)
    if as_json:
        return _print_json(report)
    rows = [*report.per_class.items(), ("all", report.accuracy)]
    click.echo(render(("class", *_PROPORTION), [(label, *_proportion(value)) for label, value in rows]))
    click.echo(f"head {report.head}: {report.reason}; {report.seconds * 1000:.0f} ms", err=True)
    _say_warnings(report.warnings)


@main.command()
@_PHOTOS
@_MODEL
@click.option("-k", "--top", type=click.IntRange(1), default=3, show_default=True, help="How many classes to print per photo.")
@_JSON
def predict(photos: tuple[str, ...], more: tuple[str, ...], top: int, as_json: bool, **model: Any) -> None:
    """Say what is on photos."""
    guesses: dict[str, Any] = {}
    failed: list[tuple[str, str]] = []
    with _opened(model, read_only=True) as shop:
        for path in (file for start in _given(photos, more) for file in _files(Path(start))):
            try:
                guesses[str(path)] = shop.predict(path, top=top)
            except PhotoError as error:
                failed.append((str(path), str(error)))
    if as_json:
        _print_json({"guesses": guesses, "failed": failed})
    else:
        for name, guess in guesses.items():
            click.echo(f"{name}  " + "  ".join(f"{label} {score:.3f}" for label, score in guess.top))
        _say_failed(failed)
    if failed and not guesses:
        sys.exit(1)


@main.command("eval")
@click.argument("folder", type=click.Path())
@_MODEL
@_JSON
def evaluate(folder: str, as_json: bool, **model: Any) -> None:
    """Measure accuracy on a folder ROOT/CLASS/PHOTO that was not taught."""
    with _opened(model, read_only=True) as shop, _progress("evaluating") as progress:
        report = shop.eval(folder, progress=progress)
    if as_json:
        return _print_json(report)
    rows = [*report.per_class.items(), ("all", report.accuracy)]
    click.echo(render(("class", *_PROPORTION), [(label, *_proportion(value)) for label, value in rows]))
    click.echo()
    click.echo(render(("true \\ predicted", *report.labels), [(label, *row) for label, row in zip(report.labels, report.confusion)]))
    _say_warnings(report.warnings)
    _say_failed(report.failed)


@main.command()
@_STORE
@click.option("-l", "--label", help="Every photo of this class.")
@click.option("-i", "--input", "photo", type=click.Path(), help="This photo.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_JSON
def forget(store: str, label: str | None, photo: str | None, yes: bool, as_json: bool) -> None:
    """Remove a class or a photo, exactly; the head is trained again without it."""
    if (label is None) == (photo is None):
        raise click.UsageError("give either --label CLASS or --input PHOTO")
    if not yes and sys.stdin.isatty():
        click.confirm(f"forget {label or photo}? Its embeddings cannot be brought back.", abort=True, err=True)
    with Classifier.open(None, store) as shop:
        report = shop.forget(label=label, photo=photo)
    if as_json:
        return _print_json(report)
    click.echo(render(("class", "forgotten", "left"), [(name, n, report.counts.get(name, 0)) for name, n in report.removed.items()]))
    click.echo("no head is active now" if report.head is None else f"head {report.head} is active, trained without them", err=True)


@main.command()
@_STORE
@_JSON
def heads(store: str, as_json: bool) -> None:
    """List every head ever trained."""
    with Classifier.open(None, store, read_only=True) as shop:
        history = shop.heads()
    if as_json:
        _print_json(history)
    else:
        click.echo(
            render(("", "head", "algorithm", "classes", "trained from", *_PROPORTION, "when (device clock)"), [_head(i) for i in history])
        )


@main.command()
@_STORE
@_JSON
def rollback(store: str, as_json: bool) -> None:
    """Go back to the head that was active before this one."""
    with Classifier.open(None, store) as shop:
        info = shop.rollback()
    if as_json:
        _print_json(info)
    else:
        click.echo(f"head {info.head} is active: {info.kind}, classes {', '.join(info.labels)}")


@main.command()
@click.argument("bundle", required=False, type=click.Path())
@click.option("-m", "--bundle", "named", envvar="EDGETL_BUNDLE", type=click.Path(), help="The bundle (or EDGETL_BUNDLE).")
@click.option("-i", "--input", "photos", type=click.Path(), help="A folder of photos to rotate over; synthetic ones when not given.")
@click.option("--variant", "variants", multiple=True, help="Only these; may be repeated.")
@click.option("-t", "--threads", type=click.IntRange(1), help="Threads of the runtime; every core, at most 4, when not given.")
@click.option("--quick", is_flag=True, help="Fewer repetitions.")
@click.option("-o", "--output", type=click.Path(), help="Write the record, raw samples included, to this JSON file.")
@_JSON
def bench(bundle: str | None, named: str | None, photos: str | None, variants: tuple[str, ...], threads: int | None, quick: bool,
          output: str | None, as_json: bool) -> None:  # fmt: skip
    """Measure latency on this machine, variant by variant."""
    from edgetl import bench as benchmark

    with _progress("measuring") as progress:
        record = benchmark.run(
            Path(_required(bundle or named, "BUNDLE")), photos=Path(photos) if photos else None, variants=variants or None,
            threads=threads, quick=quick, progress=progress,
        )  # fmt: skip
    if output:
        benchmark.write(record, Path(output))
    if as_json:
        _print_json(record)
    else:
        click.echo(benchmark.table(record))


@main.command()
@click.option("-o", "--output", default="demo", show_default=True, type=click.Path(), help="A folder for the report and the bundle.")
@click.option("--bundle", type=click.Path(), help="Use this bundle instead of exporting one.")
@click.option("--quick", is_flag=True, help="Fewer formats and photos.")
def demo(output: str, bundle: str | None, quick: bool) -> None:
    """The whole job on real photos: export, teach, add a class, forget, roll back, bench, report."""
    from edgetl import demo as demonstration

    demonstration.run(Path(output), quick=quick, bundle=Path(bundle) if bundle else None)


_PROPORTION = ("right", "of", "%", "95 % interval")


def _proportion(value: Proportion) -> tuple[object, ...]:
    low, high = value.interval
    return value.hits, value.n, f"{100 * value.value:.1f}" if value.n else "-", f"{100 * low:.1f} to {100 * high:.1f}"


def _head(info: HeadInfo) -> tuple[object, ...]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.created))
    return "*" if info.active else "", info.head, info.kind, len(info.labels), info.samples, *_proportion(info.accuracy), when


@contextmanager
def _opened(model: dict[str, Any], *, read_only: bool = False) -> Iterator[Classifier]:
    with Classifier.open(**model, read_only=read_only) as shop:
        yield shop


@contextmanager
def _progress(label: str) -> Iterator[Progress]:
    """A bar on stderr that is drawn from the first call on; nothing where stderr is no terminal."""
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = max(total, done, 1)
            bar.update(done - bar.pos)

        yield advance


def _add(shop: Classifier, path: Path, label: str | None, progress: Progress) -> AddReport:
    if path.is_dir():
        return shop.add_many(path, label=label, progress=progress)
    if label is None and path.exists():
        raise click.UsageError(f"{path}: give the class of single photos with --label CLASS, or a folder ROOT/CLASS/PHOTO")
    if label is None:
        raise PhotoError(f"{path}: no such file or folder")
    return shop.add_many([(path, label)], progress=progress)


def _files(path: Path) -> Sequence[Path]:
    from edgetl.photos import photos_in

    return photos_in(path)[0] if path.is_dir() else [path]


def _given(photos: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    if not photos and not more:
        raise click.UsageError("give at least one photo or folder")
    return (*photos, *more)


def _required(value: str | None, name: str) -> str:
    if value is None:
        raise click.UsageError(f"Missing argument '{name}'.")
    return value


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _optional(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExportError(f"this needs the workstation part, which is not installed ({error}); pip install 'edgetl[{extra}]'") from error


def _print_json(value: Any) -> None:
    click.echo(json.dumps(to_json(value), indent=1, ensure_ascii=False))


def _print_bundle(opened: bundles.Bundle) -> None:
    image, weights = opened.image, opened.backbone.get("weights", {})
    click.echo(f"backbone   {opened.backbone['name']}, {opened.dim} values, weights {weights.get('source', '?')}")
    click.echo(f"image      {image.width}x{image.height} from short side {image.resize}, {image.filter}, JPEG draft {image.draft}")
    if opened.calibration:
        click.echo(
            "calibrated " + ", ".join(f"{key} {value}" for key, value in opened.calibration.items() if not isinstance(value, (dict, list)))
        )
    headers = ("variant", "recipe", "MB", "cosine", "worst", "max abs", "same nearest", "n", "bound", "proved on", "fingerprint")
    click.echo(render(headers, [_variant_row(opened, variant) for variant in opened.variants.values()]))


def _variant_row(opened: bundles.Bundle, variant: bundles.Variant) -> tuple[object, ...]:
    parity, size = variant.parity, f"{variant.size / 1e6:.1f}"
    print_, recipe = opened.fingerprint(variant).digest[:12], variant.recipe.get("name", "")
    if parity is None:
        return variant.name, recipe, size, "-", "-", "-", "-", 0, "-", "not proved", print_
    return (
        variant.name, recipe, size, f"{parity.cosine_mean:.5f}", f"{parity.cosine_min:.5f}", f"{parity.max_abs:.3f}",
        f"{100 * parity.neighbour_agreement:.1f} %", parity.count, parity.bound, parity.machine, print_,
    )  # fmt: skip


def _say_failed(failed: Sequence[tuple[str, str]]) -> None:
    for source, reason in failed:
        click.echo(f"not used: {reason if source in reason else f'{source}: {reason}'}", err=True)


def _say_warnings(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.echo(f"note: {warning}", err=True)
