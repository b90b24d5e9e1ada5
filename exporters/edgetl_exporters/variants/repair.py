"""The search for the cheapest int8 recipe that keeps its bound: each repair is tried on photos that prove nothing afterwards.

Repairs are tried in the order of what they cost on the device: cut ranges and scaled channels cost nothing or little there; a layer in
float costs time and bytes. Those are searched first, and layers are taken out of the integers with what did best, the ones first whose
noise costs the embedding most. The first recipe that meets the bound ends the search; a network that its base recipe suits is searched no
further than that. What each repair gained where, and what was tried and left: docs/evidence/int8-repairs.md.

Layers are taken to float and not to 16-bit integers, because no runtime here has fast kernels for those. EfficientNet-Lite0, one thread
of an x86 with VNNI, best of 20 runs: TFLite 4.4 ms in int8, 8.9 in float, 314 with int16 activations; ONNX Runtime 4.5, 13.0 and 28.7 ms
with uint16 ones. With the first and the last layer in float, 6.3 and 5.6 ms.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from edgetl.errors import ExportError
from edgetl.tables import render
from edgetl.types import Embeddings, Pixels
from edgetl_exporters import parity
from edgetl_exporters.convert import to_onnx
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.sources.base import Source
from edgetl_exporters.variants import noise
from edgetl_exporters.variants.noise import LayerNoise

Run = Callable[[str, Mapping[str, bytes], Pixels], tuple[Embeddings, float]]
"""(format, files, photos [n, h, w, 3]) -> a variant's embeddings [n, d], made one by one, and the median time of one, ms."""

_WORST = (1, 2, 4, 8, 16, 32, 64)
"""How many of the layers that cost most are tried in float, one number after the other."""

_MOST = 0.5
"""The largest share of layers in float: with more of them the variant is no int8 variant any more."""

_TOLD = 10
"""How many of those layers are told."""

_SURE = 1.645
"""Standard errors between the mean cosine and its lower 95 % end, one-sided."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One recipe that was tried.

    Attributes:
        repair: what it does otherwise than the base recipe, in words.
        cosine_mean: mean cosine to the float embedding; of several levels that of the worst one.
        cosine_low: its lower 95 % end over the photos; it has to reach the bound.
        gained: `cosine_mean` minus that of the best step before it; 0 for the first.
        count: photos that chose, none of which proves anything.
        size: of the variant's files, bytes.
        latency: median per photo on this machine while it was tried, ms.
        seconds: to make and to try it, s.
    """

    repair: str
    cosine_mean: float
    cosine_low: float
    gained: float
    count: int
    size: int
    latency: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Search:
    """What was tried, and what was found.

    Attributes:
        bound: the lowest mean cosine.
        met: whether the last step reached it.
        steps: in the order they were tried; the last one is the recipe that was taken, where it met the bound.
        layers: the layers whose noise costs most, the worst first, where layers were looked at.
        floats: the names of the layers that stay in float.
    """

    bound: float
    met: bool
    steps: tuple[Step, ...]
    layers: tuple[LayerNoise, ...] = ()
    floats: tuple[str, ...] = ()

    def __str__(self) -> str:
        first = self.steps[0]
        if len(self.steps) == 1 and self.met:
            reached = f"mean cosine {first.cosine_mean:.4f} on the {first.count} photos that choose"
            return f"the base recipe suffices: {reached}, {self.bound} or more wanted"
        kept = f"; in float stay {', '.join(self.floats)}" if self.floats else ""
        return f"{len(self.steps)} recipes tried on {first.count} photos, the last one taken{kept}\n{self.table()}"

    def table(self) -> str:
        """The steps for the screen, and the worst layers."""
        rows = [
            (
                s.repair,
                f"{s.cosine_mean:.4f}",
                f"{s.cosine_low:.4f}",
                f"{s.gained:+.4f}",
                s.count,
                f"{s.size / 2**20:.1f}",
                f"{s.latency:.1f}",
                f"{s.seconds:.1f}",
            )
            for s in self.steps
        ]
        said = render(("repair", "cosine", "lower 95 %", "gained", "photos", "MiB", "ms", "s"), rows)
        worst = ", ".join(f"{layer.name} {layer.snr:.1f} dB (-{layer.lost:.4f})" for layer in self.layers[:5])
        return f"{said}\nworst layers, with what each alone takes from the cosine: {worst}" if worst else said


class Searcher:
    """Searches variants of one source."""

    def __init__(self, source: Source, calibrating: Pixels, choosing: Pixels, run: Run) -> None:
        """Embeds the choosing photos with the source itself.

        Args:
            source: what is exported; it has a float original.
            calibrating: uint8 [n, h, w, 3]: they set the ranges.
            choosing: uint8 [m, h, w, 3], other ones: they choose among the recipes.
            run: runs a variant.
        """
        self._source, self._calibrating, self._choosing, self._run = source, calibrating, choosing, run
        expected = source.embed(choosing)
        assert expected is not None
        self._expected = expected

    def search(self, base: Recipe, bound: float) -> tuple[Recipe, Mapping[str, bytes], Search]:
        """Tries repairs of a recipe until one meets the bound.

        Returns:
            The recipe that met it, else the best one; its files; how it was found.

        Raises:
            ExportError: the base recipe cannot be made.
        """
        state = _State()
        for repair, recipe in self._trials(base, state):
            try:
                step, files = self._try(repair, recipe, state.cosine)
            except ExportError:
                if not state.steps:
                    raise
                continue  # a format may not offer every repair
            state.add(step, recipe, files)
            if step.cosine_low >= bound:
                return recipe, files, state.search(bound, recipe, met=True)
        return state.recipe, state.files, state.search(bound, state.recipe, met=False)

    def _trials(self, base: Recipe, state: _State) -> Iterator[tuple[str, Recipe]]:
        """The recipes, cheapest first; layers are taken out of the best of those before them."""
        yield "base recipe", base
        if self._source.network(base) is None:
            return
        settings = base.settings if base.format == "tflite" else {**base.settings, "quantizer": "onnxruntime"}
        free = dataclasses.replace(base, settings=settings)
        yield "mse ranges", dataclasses.replace(free, ranges="mse")
        yield "equalised channels", dataclasses.replace(free, equalised=True)
        yield "equalised channels, mse ranges", dataclasses.replace(free, equalised=True, ranges="mse")
        best = dataclasses.replace(state.recipe, settings=settings)
        float_ = self._source.network(best, self._calibrating)
        assert float_ is not None
        state.layers = noise.measure(float_, to_onnx.quantise(float_, self._calibrating, best), self._calibrating)
        count = len(state.layers)
        worst = [layer.number for layer in state.layers]
        for kept in dict.fromkeys(min(number, int(_MOST * count)) for number in _WORST):
            yield f"worst {kept} of {count} layers in float", dataclasses.replace(best, floats=tuple(worst[:kept]))

    def _try(self, repair: str, recipe: Recipe, before: float | None) -> tuple[Step, Mapping[str, bytes]]:
        start = time.perf_counter()
        files = self._source.files(recipe, self._calibrating)
        made, latency = self._run(recipe.format, files, self._choosing)
        mean, low = worst_level(self._expected, made, self._source.levels)
        step = Step(
            repair=repair,
            cosine_mean=mean,
            cosine_low=low,
            gained=0.0 if before is None else mean - before,
            count=len(made),
            size=sum(map(len, files.values())),
            latency=latency,
            seconds=time.perf_counter() - start,
        )
        return step, files


class _State:
    """What a search knows so far."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.layers: tuple[LayerNoise, ...] = ()
        self.cosine: float | None = None

    def add(self, step: Step, recipe: Recipe, files: Mapping[str, bytes]) -> None:
        self.steps.append(step)
        # NaN is never better.
        if self.cosine is None or step.cosine_mean > self.cosine:
            self.cosine, self.recipe, self.files = step.cosine_mean, recipe, files

    def search(self, bound: float, recipe: Recipe, *, met: bool) -> Search:
        names = {layer.number: layer.name for layer in self.layers}
        return Search(bound, met, tuple(self.steps), self.layers[:_TOLD], tuple(names[number] for number in recipe.floats))


def worst_level(expected: Embeddings, made: Embeddings, lengths: Sequence[int]) -> tuple[float, float]:
    """The mean cosine, and its lower 95 % end over photos, of the embedding or of that of its levels which is worst.

    Args:
        expected: float32 [n, d].
        made: float32 [n, d].
        lengths: of the levels, adding up to d; empty for one.
    """
    ends = list(np.cumsum(lengths)[:-1])
    pairs = [(expected, made), *zip(np.split(expected, ends, axis=1), np.split(made, ends, axis=1))]
    cosines = [parity.cosines(*pair) for pair in pairs]
    found = [(float(each.mean()), float(each.mean() - _SURE * each.std(ddof=1) / np.sqrt(len(each)))) for each in cosines]
    return min(found, key=lambda pair: pair[1])
