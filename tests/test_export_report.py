"""The text of an export's result, in tests/golden/export.txt; `EDGETL_GOLDEN=write pytest tests/test_export_report.py` writes it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from edgetl_exporters import Exported, ExportResult, report
from edgetl_exporters.variants.adequacy import Adequacy
from edgetl_exporters.variants.diagnosis import Int8Diagnosis, Int8Risk
from edgetl_exporters.variants.noise import LayerNoise
from edgetl_exporters.variants.repair import RepairStep, Search

from edgetl.bundle.proofs import Parity, Proof

GOLDEN = Path(__file__).parent / "golden" / "export.txt"
PARITY = Parity(0.99721, 0.9906, 0.863, 0.92, 50, 0.98, "x86_64 avx512_vnni")
BASE = RepairStep("base", 0, 0, 0.9977, 0.9971, 0.0, 40, 4 * 2**20, 1.5, 3.25)
RISKS = (
    Int8Risk("uneven-channels", "blocks.2.conv", 34.2, True, {"depthwise": True, "count": 3, "of": 49}),
    Int8Risk("silent-channels", "blocks.14.conv", 128.0, False, {"count": 12}),
    Int8Risk("smooth-activations", "blocks.5.conv", 6.1, True, {"activation": "SiLU", "lowest": -0.2785, "count": 30}),
    Int8Risk("gates", "blocks.1.gate", 16.0, False),
)


def result(variants: tuple[Exported, ...], diagnosis: Int8Diagnosis, adequacy: Adequacy, **changes: object) -> ExportResult:
    healthy = ExportResult("lite0.edgetl", "efficientnet_lite0", "PyPI", (), None, variants, (), diagnosis, adequacy, (), 54.0, 2**30)
    return dataclasses.replace(healthy, **changes)


def healthy() -> ExportResult:
    variants = tuple(Exported(name, "auto", 4_000_000, PARITY, 9.0, Search(0.98, True, (BASE,))) for name in ("onnx-int8", "tflite-int8"))
    return result(
        variants, Int8Diagnosis(49, 8, RISKS[1:2]), Adequacy(200, 20, 0.0, "blocks.6.conv", 1e-5, ((100, 0.98), (200, 1.0)), 0.017)
    )


def hard() -> ExportResult:
    steps = (
        dataclasses.replace(BASE, cosine_mean=0.655, cosine_low=0.61),
        dataclasses.replace(BASE, repair="mse-ranges", cosine_mean=0.715, cosine_low=0.68, gained=0.06),
        dataclasses.replace(BASE, repair="equalised", cosine_mean=0.794, cosine_low=0.76, gained=0.079),
        dataclasses.replace(BASE, repair="equalised-mse-ranges", cosine_mean=0.866, cosine_low=0.84, gained=0.072),
        dataclasses.replace(BASE, repair="float-layers", floats=2, layers=62, cosine_mean=0.985, cosine_low=0.981, gained=0.119),
    )
    layers = (LayerNoise(0, "stem", 39.5, 0.147), LayerNoise(1, "blocks.0.conv", 18.6, 0.122))
    search = Search(0.98, True, steps, layers, ("stem", "blocks.0.conv"))
    variant = Exported("onnx-int8", "onnx-u8s8", 3_900_000, PARITY, 60.0, search)
    proofs = (
        Proof("x86_64 avx2", "onnx-int8", "onnxruntime 1.32", "measured", 20, 0.99, 0.98, None, {}),
        Proof("nvidia cuda", "onnx-int8", "", "absent", 0, None, None, None, {}, "no device"),
    )
    few = Adequacy(90, 20, 0.001, "blocks.2.conv", 0.017, ((90, 1.0),), 0.45)
    return result((variant,), Int8Diagnosis(62, 8, RISKS), few, skipped=(("flat.png", "of one colour"),), proofs=proofs)


def test_the_text_of_a_result_is_that_of_the_golden_file() -> None:
    parts = [("export", report.summary), ("export -v", report.details)]
    sections = [
        f"$ edgetl {command}  # {name}\n" + "\n".join(text(case()))
        for name, case in (("int8 suits the network", healthy), ("int8 is hard", hard))
        for command, text in parts
    ]
    text = "\n\n".join(sections) + "\n"
    if os.environ.get("EDGETL_GOLDEN") == "write":
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_the_default_text_has_at_most_six_lines() -> None:
    for case in (healthy(), hard()):
        lines = report.summary(case)
        assert len(lines) <= 6
    assert max(map(len, report.summary(healthy()))) <= 80
