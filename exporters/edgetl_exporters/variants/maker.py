"""Makes variants: a recipe becomes model files, which are proved on the runtime that will run them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from edgetl.bundle.bundle import FAMILIES
from edgetl.bundle.proofs import Parity
from edgetl.bundle.writer import NewVariant
from edgetl.errors import ParityError
from edgetl.inputs.photo import faults
from edgetl.runtimes import open_runtime
from edgetl.types import Embeddings, Pixels, to_json
from edgetl_exporters import metadata, parity, pictures, report
from edgetl_exporters.quantise import recipes
from edgetl_exporters.quantise.calibration import Calibration
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.quiet import quiet
from edgetl_exporters.sources.base import NetworkSource
from edgetl_exporters.variants import adequacy, diagnosis
from edgetl_exporters.variants.adequacy import Adequacy
from edgetl_exporters.variants.diagnosis import Int8Diagnosis
from edgetl_exporters.variants.repair import Search, Searcher

_SCENES = 24


@dataclasses.dataclass(frozen=True)
class Exported:
    """A variant that was exported.

    Attributes:
        name: e.g. `tflite-int8`.
        recipe: its recipe's name.
        size: its files together, bytes.
        parity: its distance to the float embedding; None if there is no float network.
        seconds: to convert, quantise and prove it, s; work that several variants share counts for the first.
        search: which int8 recipes were tried; None for other precisions.
    """

    name: str
    recipe: str
    size: int
    parity: Parity | None
    seconds: float
    search: Search | None = None


class Maker:
    """Makes variants of one source and proves each."""

    def __init__(
        self, source: NetworkSource, calibration: Calibration | None, self_test: Pixels, seed: int, background: Pixels | None = None
    ) -> None:
        """Embeds the proof photos with the source itself: the held-back photos, or drawn scenes without photos.

        Args:
            source: what is exported.
            calibration: the calibration photos; int8 needs them.
            self_test: the self-test images uint8 [k, h, w, 3].
            seed: of the drawn scenes.
            background: uint8 [n, h, w, 3], photos of anything but what will be trained; None leaves the background out.
        """
        self._background = background
        self._source, self._calibration, self._self_test = source, calibration, self_test
        image = source.image
        self._proof = pictures.scenes(_SCENES, image.width, image.height, seed) if calibration is None else calibration.held_back
        self._expected = source.embed(self._proof)

    @functools.cached_property
    def _searcher(self) -> Searcher | None:
        """Searches int8 recipes; None without photos or without a float network to compare with."""
        if self._calibration is None or self._expected is None:
            return None
        return Searcher(self._source, self._calibration.tensors, self._calibration.choosing, self._timed)

    def diagnose(self, recipe: Recipe) -> Int8Diagnosis | None:
        """What makes int8 hard for the float network; None without photos or without such a network in ONNX."""
        model = self._source.network(dataclasses.replace(recipe, levels=None))
        return None if model is None or self._calibration is None else diagnosis.diagnose(model, self._calibration.tensors)

    def adequacy(self, recipe: Recipe) -> Adequacy | None:
        """Whether there are enough photos for an int8 recipe; None without photos or without a float network in ONNX."""
        if self._calibration is None or (model := self._source.network(recipe)) is None:
            return None
        return adequacy.judge(model, self._calibration.tensors, self._calibration.choosing)

    def make(self, recipe: Recipe) -> tuple[NewVariant, Exported]:
        """Converts, quantises and proves a variant.

        Raises:
            ParityError: its embeddings are further from the float ones than allowed.
        """
        start = time.perf_counter()
        name = f"{recipe.format}-{recipe.precision}"
        recipe, files, search = self._search(name, recipe)
        files = metadata.write(recipe.format, files, self._info())
        count, charts = len(self._proof), len(self._self_test)
        wrong = faults.corrupt_tensors(self._self_test, self._source.mean, self._source.std)
        others = self._self_test[:0] if self._background is None else self._background
        everything = self._run(recipe.format, files, np.concatenate([self._proof, self._self_test, *wrong.values(), others]))
        embeddings, background = np.split(everything, [len(everything) - len(others)])
        measured = self._measure(name, recipe, embeddings[:count])
        stated = self._stated(name, recipe, embeddings[:count], search)
        expected, *faulty = embeddings[count:].reshape(1 + len(wrong), charts, -1)
        kept = None if self._background is None else background
        variant = NewVariant(name, recipe.format, recipe.precision, files, stated, measured, expected, dict(zip(wrong, faulty)), kept)
        size = sum(len(content) for content in files.values())
        return variant, Exported(name, recipe.name, size, measured, time.perf_counter() - start, search)

    def _stated(self, name: str, recipe: Recipe, embeddings: Embeddings, search: Search | None) -> dict[str, Any]:
        """What the manifest states of how a variant was made."""
        return {
            "name": recipe.name,
            "settings": recipe.stated(),
            "libraries": {library: version(library) for library in self._source.libraries(recipe.format)},
            "proved_on": {"photos": "drawn-scenes" if self._calibration is None else "held-back", "count": len(embeddings)},
            **({} if search is None else {"search": to_json(search)}),
            **({"levels": self._levels(name, recipe, embeddings)} if self._source.levels else {}),
        }

    def _info(self) -> metadata.Info:
        source = self._source
        description = f"Embeds an RGB photo to {source.dim} values; no classifier. Weights: {source.weights.source}"
        return metadata.Info(source.name, description, source.image)

    def _search(self, name: str, recipe: Recipe) -> tuple[Recipe, Mapping[str, bytes], Search | None]:
        """The recipe that is used, with the variant's files.

        Raises:
            ParityError: `no-int8-recipe`: no int8 recipe meets the bound; its values hold all that were tried.
        """
        if not recipe.levels or self._searcher is None:
            return recipe, self._source.files(recipe, None if self._calibration is None else self._calibration.tensors), None
        best, files, search = self._searcher.search(recipe, self._bound(recipe))
        if not search.met:
            raise ParityError(
                f"{name}: no int8 recipe keeps the embeddings close enough to float; the best of {len(search.steps)} has a mean cosine of "
                f"{max(step.cosine_mean for step in search.steps):.4f}, and its lower 95 % limit must reach {search.bound}.\n"
                f"{report.search_table(search)}\n{self._causes(recipe)}{_hint(recipe)}",
                code="no-int8-recipe", variant=name, bound=search.bound, steps=to_json(search.steps),
            )  # fmt: skip
        return best, files, search

    def _causes(self, recipe: Recipe) -> str:
        diagnosed = self.diagnose(recipe)
        return "" if diagnosed is None else "".join(f"{line}\n" for line in report.diagnosis(diagnosed))

    def _measure(self, name: str, recipe: Recipe, embeddings: Embeddings) -> Parity | None:
        if self._expected is None:
            return None
        measured = parity.measure(self._expected, embeddings, self._bound(recipe))
        parity.check(name, measured, _hint(recipe))
        return measured

    def _levels(self, name: str, recipe: Recipe, embeddings: Embeddings) -> list[dict[str, float]]:
        """Each level's length, its scale and its own distance to the float one.

        Raises:
            ParityError: a level further from the float one than allowed.
        """
        source = self._source
        assert self._expected is not None  # only float networks have levels
        proved = parity.levels(name, self._expected, embeddings, source.levels, self._bound(recipe), _hint(recipe))
        return [
            {"length": length, "scale": scale, "cosine_mean": level.cosine_mean, "cosine_min": level.cosine_min}
            for length, scale, level in zip(source.levels, source.scales, proved)
        ]

    def _bound(self, recipe: Recipe) -> float:
        return {"fp32": recipes.FP32_BOUND, "fp16": recipes.FP16_BOUND, "int8": self._source.int8_bound}[recipe.precision]

    def _run(self, format_: str, files: Mapping[str, bytes], tensors: Pixels) -> Embeddings:
        return self._timed(format_, files, tensors)[0]

    def _timed(self, format_: str, files: Mapping[str, bytes], tensors: Pixels) -> tuple[Embeddings, float]:
        """The variant's embeddings [n, d], one photo at a time as a device embeds them, and the median time of one, ms."""
        rows, times = [], []
        with quiet():
            runtime = open_runtime(FAMILIES[format_], files)
            for tensor in tensors:
                start = time.perf_counter()
                rows.append(runtime.embed(tensor[None]))
                times.append(1000 * (time.perf_counter() - start))
            runtime.close()
        return np.concatenate(rows), float(np.median(times))


def _hint(recipe: Recipe) -> str:
    if recipe.levels:
        return "Calibrate with photos more like those the camera will see, or export this backbone in fp32."
    return "The converter changed the network; try the library versions of constraints.txt."
