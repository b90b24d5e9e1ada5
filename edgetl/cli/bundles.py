"""A bundle in words."""

from __future__ import annotations

import click

from edgetl.bundle import bundle as bundles
from edgetl.bundle.proofs import table
from edgetl.embedding.embedder import kept_choice
from edgetl.tables import render


def print_bundle(opened: bundles.Bundle) -> None:
    """What it holds, how each variant was made, and what proves it."""
    image, weights = opened.input, opened.backbone.get("weights", {})
    counts = [len(opened.background(variant)) for variant in opened.variants.values()]
    levels = f" ({' + '.join(map(str, opened.levels))})" if opened.levels else ""
    click.echo(f"backbone   {opened.backbone['name']}, {opened.dim} values{levels}, weights {weights.get('source', '?')}")
    for note in ("cut", "input"):
        if note in opened.backbone:
            click.echo(f"{note:<10} {opened.backbone[note]}")
    click.echo(f"background {max(counts)} photos, by which a head learns what to reject" if any(counts) else "background none")
    click.echo(f"image      {image.width}x{image.height} from short side {image.resize}, {image.filter}, JPEG draft {image.draft}")
    if opened.calibration:
        click.echo(
            "calibrated " + ", ".join(f"{key} {value}" for key, value in opened.calibration.items() if not isinstance(value, (dict, list)))
        )
    if choice := kept_choice(opened):
        click.echo(f"runtime    {choice}")
    headers = ("variant", "recipe", "MB", "cosine", "worst", "max abs", "same nearest", "n", "bound", "proved on", "fingerprint")
    click.echo(render(headers, [_variant_row(opened, variant) for variant in opened.variants.values()]))
    if opened.proofs:
        click.echo(f"\n{table(opened.proofs)}")


def _variant_row(opened: bundles.Bundle, variant: bundles.Variant) -> tuple[object, ...]:
    parity, size = variant.parity, f"{variant.size / 1e6:.1f}"
    print_, recipe = opened.fingerprint(variant).digest[:12], variant.recipe.get("name", "")
    if parity is None:
        return variant.name, recipe, size, "-", "-", "-", "-", 0, "-", "not proved", print_
    return (
        variant.name, recipe, size, f"{parity.cosine_mean:.5f}", f"{parity.cosine_min:.5f}", f"{parity.max_abs:.3f}",
        f"{100 * parity.neighbour_agreement:.1f} %", parity.count, parity.bound, parity.machine, print_,
    )  # fmt: skip
