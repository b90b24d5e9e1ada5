"""Variants: a recipe becomes model files, and is proved on the runtime that will run them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np

from edgetl.bundle.bundle import FAMILIES
from edgetl.bundle.proofs import Parity
from edgetl.bundle.writer import NewVariant
from edgetl.errors import ParityError
from edgetl.inputs.photo import faults
from edgetl.runtimes import open_runtime
from edgetl.types import Embeddings, Pixels, to_json
from edgetl_exporters import metadata, parity, pictures
from edgetl_exporters.quantise import recipes
from edgetl_exporters.quantise.calibration import Calibration
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.quiet import quiet
from edgetl_exporters.sources.base import Source
from edgetl_exporters.variants import adequacy, diagnosis
from edgetl_exporters.variants.adequacy import Adequacy
from edgetl_exporters.variants.diagnosis import Diagnosis
from edgetl_exporters.variants.repair import Search, Searcher

_SCENES = 24


@dataclasses.dataclass(frozen=True)
class Exported:
    """One variant as it was made.

    Attributes:
        name: e.g. `tflite-int8`.
        recipe: its recipe's name.
        size: its files together, bytes.
        parity: its distance to the float embedding; None where there is no float original.
        seconds: to convert, quantise and prove it, s; what several variants share is counted with the first.
        search: which repairs were tried for int8; None for other precisions.
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
        self, source: Source, calibration: Calibration | None, golden: Pixels, seed: int, background: Pixels | None = None
    ) -> None:
        """Embeds the proof photos with the source itself: the held-back photos, or drawn scenes where no photos were given.

        Args:
            source: what is exported.
            calibration: the photos; int8 needs them.
            golden: the test charts uint8 [k, h, w, 3].
            seed: of the drawn scenes.
            background: uint8 [n, h, w, 3], photos of anything but what will be trained; None leaves the background out.
        """
        self._background = background
        self._source, self._calibration, self._golden = source, calibration, golden
        image = source.image
        self._proof = pictures.scenes(_SCENES, image.width, image.height, seed) if calibration is None else calibration.held_back
        self._expected = source.embed(self._proof)

    @functools.cached_property
    def _searcher(self) -> Searcher | None:
        """Searches int8 recipes; None where no photos or no float original tell a better recipe from a worse one."""
        if self._calibration is None or self._expected is None:
            return None
        return Searcher(self._source, self._calibration.tensors, self._calibration.choosing, self._timed)

    def diagnose(self, recipe: Recipe) -> Diagnosis | None:
        """What makes int8 hard for the float network; None without photos or where there is none to look at."""
        model = self._source.network(dataclasses.replace(recipe, levels=None))
        return None if model is None or self._calibration is None else diagnosis.diagnose(model, self._calibration.tensors)

    def adequacy(self, recipe: Recipe) -> Adequacy | None:
        """Whether the photos were enough for an int8 recipe; None without photos or where there is no network to run."""
        if self._calibration is None or (model := self._source.network(recipe)) is None:
            return None
        return adequacy.judge(model, self._calibration.tensors, self._calibration.choosing)

    def make(self, recipe: Recipe) -> tuple[NewVariant, Exported]:
        """Converts, quantises, proves.

        Raises:
            ParityError: further from the float embedding than allowed.
        """
        start = time.perf_counter()
        name = f"{recipe.format}-{recipe.precision}"
        recipe, files, search = self._found(name, recipe)
        files = metadata.write(recipe.format, files, self._info())
        count, charts = len(self._proof), len(self._golden)
        wrong = faults.of_tensors(self._golden, self._source.mean, self._source.std)
        others = self._golden[:0] if self._background is None else self._background
        everything = self._run(recipe.format, files, np.concatenate([self._proof, self._golden, *wrong.values(), others]))
        made, background = np.split(everything, [len(everything) - len(others)])
        hint = _hint(recipe) if search is None else f"on the photos that choose:\n{search.table()}\n{_hint(recipe)}"
        measured = self._measure(name, recipe, made[:count], hint)
        stated = {
            "name": recipe.name,
            "suits": recipe.suits,
            "settings": recipe.stated(),
            "libraries": {library: version(library) for library in self._source.libraries(recipe.format)},
            "proved_on": f"{count} drawn scenes" if self._calibration is None else f"{count} held-back photos",
            **({} if search is None else {"search": to_json(search)}),
            **({"levels": self._levels(recipe, made[:count], hint)} if self._source.levels else {}),
        }
        golden, *faulty = made[count:].reshape(1 + len(wrong), charts, -1)
        kept = None if self._background is None else background
        variant = NewVariant(name, recipe.format, recipe.precision, files, stated, measured, golden, dict(zip(wrong, faulty)), kept)
        size = sum(len(content) for content in files.values())
        return variant, Exported(name, recipe.name, size, measured, time.perf_counter() - start, search)

    def _info(self) -> metadata.Info:
        source = self._source
        said = f"Embeds an RGB photo to {source.dim} values; no classifier. Weights: {source.weights.source}"
        return metadata.Info(source.name, said, source.image)

    def _found(self, name: str, recipe: Recipe) -> tuple[Recipe, Mapping[str, bytes], Search | None]:
        """The recipe that is taken, with the variant's files.

        Raises:
            ParityError: no int8 recipe meets the bound, with all that were tried.
        """
        if not recipe.levels or self._searcher is None:
            return recipe, self._source.files(recipe, None if self._calibration is None else self._calibration.tensors), None
        found, files, search = self._searcher.search(recipe, self._bound(recipe))
        if not search.met:
            raise ParityError(
                f"{name}: no recipe keeps its embeddings near enough to the float ones: {len(search.steps)} were tried, and none "
                f"reaches a mean cosine of {search.bound} (95 % sure) on the photos that choose:\n{search.table()}\n"
                f"{self._causes(recipe)}{_hint(recipe)}"
            )
        return found, files, search

    def _causes(self, recipe: Recipe) -> str:
        found = self.diagnose(recipe)
        return "" if found is None else "".join(f"{line}\n" for line in found.lines())

    def _measure(self, name: str, recipe: Recipe, made: Embeddings, hint: str) -> Parity | None:
        if self._expected is None:
            return None
        measured = parity.measure(self._expected, made, self._bound(recipe))
        parity.check(name, measured, hint)
        return measured

    def _levels(self, recipe: Recipe, made: Embeddings, hint: str) -> list[dict[str, float]]:
        """Each level's length, its scale and its own distance to the float one.

        Raises:
            ParityError: a level further from the float one than allowed.
        """
        name, source = f"{recipe.format}-{recipe.precision}", self._source
        assert self._expected is not None  # only float networks have levels
        proved = parity.levels(name, self._expected, made, source.levels, self._bound(recipe), hint)
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
        rows, taken = [], []
        with quiet():
            runtime = open_runtime(FAMILIES[format_], files)
            for tensor in tensors:
                start = time.perf_counter()
                rows.append(runtime.embed(tensor[None]))
                taken.append(1000 * (time.perf_counter() - start))
            runtime.close()
        return np.concatenate(rows), float(np.median(taken))


def _hint(recipe: Recipe) -> str:
    if recipe.levels:
        return "calibrate with photos more like those the camera will see, or keep this backbone in fp32"
    return "the converter changed the network; try other versions of the libraries in constraints.txt"
