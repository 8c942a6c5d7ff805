"""The table of variants."""

from __future__ import annotations

from steelyard.records.engine import VariantSpec
from steelyard.variants.families import (
    LAYERED,
    NNCF,
    ORT,
    cascade,
    mixed_nncf,
    mixed_static,
    nncf,
    smaller,
    smaller_nncf,
    static,
    weights_nncf,
    weights_onnx,
)

_LADDER = (8, 4, 2, 1)
"""Layers returned to float."""

_BASES = (
    VariantSpec(
        name="smoothed",
        maker="steelyard.variants.smoothed:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=(),
        applies="steelyard.variants.conditions:transformer",
        calibrates=True,
        packages=ORT,
        summary="a transformer whose activations bear 8 bits better (SmoothQuant)",
    ),
    VariantSpec(
        name="studied-static",
        maker="steelyard.variants.mixed_static:study",
        reads=("onnx",),
        writes="onnx",
        runtimes=(),
        applies=LAYERED,
        calibrates=True,
        packages=ORT,
        summary="the model in float, with what 8 bits by ONNX Runtime cost and gain in each layer",
    ),
    VariantSpec(
        name="studied-nncf",
        maker="steelyard.variants.mixed_nncf:study",
        reads=("onnx", "openvino"),
        writes="openvino",
        runtimes=(),
        applies=LAYERED,
        calibrates=True,
        packages=NNCF,
        summary="the model in float, with what 8 bits by NNCF cost and gain in each layer",
    ),
)
"""These are not tried: others are made of them."""

_TRIED = (
    # From what changes the answers least to what may change them most: they are proven in this order.
    VariantSpec(
        name="original",
        maker="steelyard.variants.original:make",
        reads=("onnx", "openvino"),
        writes=None,
        runtimes=(
            "onnxruntime",
            "openvino",
            "torch",
            "torch-inductor",
            "onnxruntime-cuda",
            "onnxruntime-tensorrt",
        ),
        summary="the model as it was given",
    ),
    VariantSpec(
        name="optimised",
        maker="steelyard.variants.optimised:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        packages=("onnxruntime",),
        summary="ONNX Runtime's graph optimisations made beforehand: loads sooner",
    ),
    VariantSpec(
        name="tf32",
        maker="steelyard.variants.original:make",
        reads=("onnx",),
        writes=None,
        runtimes=("onnxruntime-cuda", "onnxruntime-tensorrt"),
        precisions=("tf32",),
        summary="the model as it was given, products rounded to TF32 as GPUs do it",
    ),
    VariantSpec(
        name="bf16",
        maker="steelyard.variants.original:make",
        reads=("onnx", "openvino"),
        writes=None,
        runtimes=("openvino",),
        precisions=("bf16",),
        summary="the model as it was given, computed in bfloat16",
    ),
    VariantSpec(
        name="fp16",
        maker="steelyard.variants.float16:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime-cuda", "onnxruntime-tensorrt"),
        precisions=("f16",),
        packages=ORT,
        summary="weights and arithmetic in half precision, for GPUs",
    ),
    weights_onnx(8),
    weights_nncf(8),
    *map(cascade, (25, 10)),
    VariantSpec(
        name="int8-dynamic",
        maker="steelyard.variants.int8_dynamic:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        applies=LAYERED,
        packages=ORT,
        summary="8-bit weights of matrix products and LSTMs; activations are scaled while it runs",
    ),
    *map(mixed_nncf, _LADDER),
    *map(mixed_static, _LADDER),
    nncf(
        "int8-controlled",
        "int8_controlled:make",
        "int8-nncf, with operators given back to float until it agrees with the original on the calibration items",
    ),
    nncf(
        "int8-asymmetric",
        "int8_nncf:make",
        "int8-nncf with activations scaled from their lowest to their highest value",
        applies="steelyard.variants.conditions:no_transformer",
        preset="mixed",
    ),
    nncf("int8-nncf", "int8_nncf:make", "8-bit weights and activations, scaled once on calibration items by NNCF"),
    static(
        "int8-smooth",
        "int8-static of a transformer whose extremes were moved into the weights (SmoothQuant)",
        runtimes=("onnxruntime", "openvino"),
        precisions=("f32", "bf16"),
        after="smoothed",
    ),
    static("int8-percentile", "int8-static with the outermost 0.01 % of the values cut off", method="percentile"),
    static("int8-entropy", "int8-static with ranges that keep the most information", method="entropy"),
    static(
        "int8-static",
        "8-bit weights and activations, scaled once on calibration items by ONNX Runtime",
        runtimes=("onnxruntime", "openvino"),
        precisions=("f32", "bf16"),
    ),
    weights_onnx(4),
    weights_nncf(4),
    *map(smaller, (85, 70)),
    *map(smaller_nncf, (85, 70)),
)

VARIANTS: dict[str, VariantSpec] = {spec.name: spec for spec in (*_BASES, *_TRIED)}
