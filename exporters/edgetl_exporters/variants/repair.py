"""Searches the cheapest int8 recipe that meets its bound. The photos that choose it are not those that prove it.

Repairs are tried in the order of their cost on the device. Cut ranges and scaled channels cost little or nothing; a layer in float costs
time and bytes, so it comes last: the best recipe so far with the layers in float whose noise costs the embedding most. The search ends with
the first recipe that meets the bound. Gains of each repair, and why float and not 16-bit integers: docs/evidence/int8-repairs.md.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from edgetl.errors import ExportError
from edgetl.types import Embeddings, Pixels
from edgetl_exporters import parity
from edgetl_exporters.convert import to_onnx
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.sources.base import NetworkSource
from edgetl_exporters.variants import noise
from edgetl_exporters.variants.noise import LayerNoise

Run = Callable[[str, Mapping[str, bytes], Pixels], tuple[Embeddings, float]]
"""(format, files, photos [n, h, w, 3]) -> a variant's embeddings [n, d], made one by one, and the median time of one, ms."""

_WORST = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of layers that are tried in float, those with the costliest noise first."""

_MOST = 0.5
"""The largest share of layers in float: with more, the variant is not an int8 variant any more."""

_LISTED = 10
"""Most layers with the costliest noise that a :class:`Search` lists."""

_SURE = 1.645
"""Standard errors between the mean cosine and its lower 95 % end, one-sided."""


@dataclasses.dataclass(frozen=True)
class RepairStep:
    """One recipe that was tried.

    Attributes:
        repair: how it differs from the base recipe: `base`, `mse-ranges`, `equalised`, `equalised-mse-ranges` or `float-layers`.
        floats: how many layers are in float.
        layers: how many there are; 0 if no layer was tried in float.
        cosine_mean: mean cosine to the float embedding; of several levels that of the worst one.
        cosine_low: its lower 95 % limit over the photos, which must reach the bound.
        gained: `cosine_mean` minus that of the best step before it; 0 for the first.
        count: photos it was measured on, none of which proves the variant.
        size: of the variant's files, bytes.
        latency: median per photo on this machine, ms.
        seconds: to make and measure it, s.
    """

    repair: str
    floats: int
    layers: int
    cosine_mean: float
    cosine_low: float
    gained: float
    count: int
    size: int
    latency: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Search:
    """The recipes that were tried, and the result.

    Attributes:
        bound: the lowest mean cosine.
        met: whether the last step reached it.
        steps: in the order they were tried; if the bound is met, the last one is the recipe that is used.
        layers: the layers with the costliest noise, the worst first; empty if no layer was tried in float.
        floats: the names of the layers that stay in float.
    """

    bound: float
    met: bool
    steps: tuple[RepairStep, ...]
    layers: tuple[LayerNoise, ...] = ()
    floats: tuple[str, ...] = ()


class Searcher:
    """Searches int8 recipes for one source."""

    def __init__(self, source: NetworkSource, calibrating: Pixels, choosing: Pixels, run: Run) -> None:
        """Embeds the choosing photos with the source itself.

        Args:
            source: what is exported; it has a float original.
            calibrating: uint8 [n, h, w, 3]: they set the ranges.
            choosing: uint8 [m, h, w, 3], other photos: they choose among the recipes.
            run: embeds photos with a variant's files.
        """
        self._source, self._calibrating, self._choosing, self._run = source, calibrating, choosing, run
        expected = source.embed(choosing)
        assert expected is not None
        self._expected = expected

    def search(self, base: Recipe, bound: float) -> tuple[Recipe, Mapping[str, bytes], Search]:
        """Tries repairs of a recipe until one meets the bound.

        Returns:
            The recipe that met it, else the best one; its files; the search.

        Raises:
            ExportError: the base recipe cannot be made.
        """
        state = _State()
        for repair, recipe in self._trials(base, state):
            try:
                step, files = self._try(repair, recipe, state)
            except ExportError:
                if not state.steps:
                    raise
                continue  # a format may not offer every repair
            state.add(step, recipe, files)
            if step.cosine_low >= bound:
                return recipe, files, state.search(bound, recipe, met=True)
        return state.recipe, state.files, state.search(bound, state.recipe, met=False)

    def _trials(self, base: Recipe, state: _State) -> Iterator[tuple[str, Recipe]]:
        """(repair, recipe), the cheapest first; layers are put in float in the best recipe before them."""
        yield "base", base
        if self._source.network(base) is None:
            return
        yield "mse-ranges", dataclasses.replace(base, ranges="mse")
        yield "equalised", dataclasses.replace(base, equalised=True)
        yield "equalised-mse-ranges", dataclasses.replace(base, equalised=True, ranges="mse")
        best = state.recipe
        network = self._source.network(best, self._calibrating)
        assert network is not None
        state.layers = noise.measure(network, to_onnx.quantise(network, self._calibrating, best), self._calibrating)
        worst = [layer.number for layer in state.layers]
        for count in dict.fromkeys(min(number, int(_MOST * len(worst))) for number in _WORST):
            yield "float-layers", dataclasses.replace(best, floats=tuple(worst[:count]))

    def _try(self, repair: str, recipe: Recipe, state: _State) -> tuple[RepairStep, Mapping[str, bytes]]:
        start = time.perf_counter()
        files = self._source.files(recipe, self._calibrating)
        embeddings, latency = self._run(recipe.format, files, self._choosing)
        mean, low = worst_level(self._expected, embeddings, self._source.levels)
        step = RepairStep(
            repair=repair,
            floats=len(recipe.floats),
            layers=len(state.layers),
            cosine_mean=mean,
            cosine_low=low,
            gained=0.0 if state.cosine is None else mean - state.cosine,
            count=len(embeddings),
            size=sum(map(len, files.values())),
            latency=latency,
            seconds=time.perf_counter() - start,
        )
        return step, files


class _State:
    """The state of a search: its steps, and the best recipe so far."""

    def __init__(self) -> None:
        self.steps: list[RepairStep] = []
        self.layers: tuple[LayerNoise, ...] = ()
        self.cosine: float | None = None

    def add(self, step: RepairStep, recipe: Recipe, files: Mapping[str, bytes]) -> None:
        self.steps.append(step)
        # NaN is never better.
        if self.cosine is None or step.cosine_mean > self.cosine:
            self.cosine, self.recipe, self.files = step.cosine_mean, recipe, files

    def search(self, bound: float, recipe: Recipe, *, met: bool) -> Search:
        names = {layer.number: layer.name for layer in self.layers}
        return Search(bound, met, tuple(self.steps), self.layers[:_LISTED], tuple(names[number] for number in recipe.floats))


def worst_level(expected: Embeddings, embeddings: Embeddings, lengths: Sequence[int]) -> tuple[float, float]:
    """The mean cosine of the whole embedding or of its worst level, and the lower 95 % limit of it over photos.

    Args:
        expected: float32 [n, d].
        embeddings: float32 [n, d].
        lengths: of the levels, adding up to d; empty for one level.
    """
    ends = list(np.cumsum(lengths)[:-1])
    pairs = [(expected, embeddings), *zip(np.split(expected, ends, axis=1), np.split(embeddings, ends, axis=1))]
    cosines = [parity.cosines(*pair) for pair in pairs]
    limits = [(float(cosine.mean()), float(cosine.mean() - _SURE * cosine.std(ddof=1) / np.sqrt(len(cosine)))) for cosine in cosines]
    return min(limits, key=lambda pair: pair[1])
