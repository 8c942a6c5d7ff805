"""The table of variants."""

from __future__ import annotations

from steelyard.records.engine import VariantSpec
from steelyard.records.model import ModelFormat

_ORT = ("onnx", "onnxruntime")
_NNCF = ("nncf", "openvino")
_LAYERED = "steelyard.variants.conditions:layered"
_LADDER = (8, 4, 2, 1)
"""Layers returned to float."""


def _static(
    name: str,
    summary: str,
    *,
    runtimes: tuple[str, ...] = ("onnxruntime",),
    precisions: tuple[str, ...] = ("f32",),
    after: str = "",
    **settings: str | int | float,
) -> VariantSpec:
    """8-bit weights and activations by ONNX Runtime."""
    return VariantSpec(
        name=name,
        maker="steelyard.variants.int8_static:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=runtimes,
        precisions=precisions,
        settings=settings,
        after=after,
        applies=_LAYERED,
        calibrates=True,
        packages=_ORT,
        summary=summary,
    )


def _nncf(
    name: str,
    maker: str,
    summary: str,
    *,
    reads: tuple[ModelFormat, ...] = ("onnx", "openvino"),
    applies: str = _LAYERED,
    after: str = "",
    **settings: str | int | float,
) -> VariantSpec:
    """8-bit weights and activations by NNCF."""
    return VariantSpec(
        name=name,
        maker=f"steelyard.variants.{maker}",
        reads=reads,
        writes="openvino",
        runtimes=("openvino",),
        precisions=("f32", "bf16"),
        settings=settings,
        after=after,
        applies=applies,
        calibrates=True,
        packages=_NNCF,
        summary=summary,
    )


def _weights_onnx(bits: int) -> VariantSpec:
    return VariantSpec(
        name=f"int{bits}-weights",
        maker="steelyard.variants.weights_onnx:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        settings={"bits": bits},
        applies="steelyard.variants.conditions:large_products",
        packages=_ORT,
        summary=f"{bits}-bit weights of large matrix products, by ONNX Runtime",
    )


def _weights_nncf(bits: int) -> VariantSpec:
    return VariantSpec(
        name=f"int{bits}-weights-nncf",
        maker="steelyard.variants.weights_nncf:make",
        reads=("onnx", "openvino"),
        writes="openvino",
        runtimes=("openvino",),
        precisions=("f32", "bf16"),
        settings={"bits": bits},
        applies="steelyard.variants.conditions:large_products",
        packages=_NNCF,
        summary=f"{bits}-bit weights of large matrix products, by NNCF",
    )


def _float_layers(count: int) -> str:
    return "the layer" if count == 1 else f"the {count} layers"


def _over(count: int) -> str:
    return f"steelyard.variants.conditions:layers_over_{count}"


def _mixed_nncf(count: int) -> VariantSpec:
    return _nncf(
        f"int8-nncf-mixed-{count}",
        "mixed_nncf:make",
        f"int8-nncf with {_float_layers(count)} in float that cost the most quality per millisecond",
        after="studied-nncf",
        applies=_over(count),
        layers=count,
    )


def _mixed_static(count: int) -> VariantSpec:
    return VariantSpec(
        name=f"int8-static-mixed-{count}",
        maker="steelyard.variants.mixed_static:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        settings={"layers": count},
        after="studied-static",
        applies=_over(count),
        packages=_ORT,
        summary=f"int8-static with {_float_layers(count)} in float that cost the most quality per millisecond",
    )


def _cascade(percent: int) -> VariantSpec:
    return VariantSpec(
        name=f"cascade-{percent}",
        maker="steelyard.variants.cascade:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        settings={"percent": percent},
        after="studied-static",
        applies="steelyard.variants.conditions:scores_of_classes",
        calibrates=True,
        packages=_ORT,
        summary=f"int8-static first; about {percent} % of the items, of which it is unsure, go on to the original",
    )


def _smaller(percent: int) -> VariantSpec:
    return VariantSpec(
        name=f"input-{percent}",
        maker="steelyard.variants.smaller_input:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime", "openvino"),
        precisions=("f32", "bf16"),
        settings={"percent": percent},
        applies="steelyard.variants.conditions:pictures",
        packages=_ORT,
        summary=f"pictures shrunk inside the network to about {percent} % of their width and height",
    )


def _smaller_nncf(percent: int) -> VariantSpec:
    return _nncf(
        f"input-{percent}-int8-nncf",
        "int8_nncf:make",
        f"input-{percent} in 8 bits by NNCF",
        reads=("onnx",),
        after=f"input-{percent}",
    )


_BASES = (
    VariantSpec(
        name="smoothed",
        maker="steelyard.variants.smoothed:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=(),
        applies="steelyard.variants.conditions:transformer",
        calibrates=True,
        packages=_ORT,
        summary="a transformer whose activations bear 8 bits better (SmoothQuant)",
    ),
    VariantSpec(
        name="studied-static",
        maker="steelyard.variants.mixed_static:study",
        reads=("onnx",),
        writes="onnx",
        runtimes=(),
        applies=_LAYERED,
        calibrates=True,
        packages=_ORT,
        summary="the model in float, with what 8 bits by ONNX Runtime cost and gain in each layer",
    ),
    VariantSpec(
        name="studied-nncf",
        maker="steelyard.variants.mixed_nncf:study",
        reads=("onnx", "openvino"),
        writes="openvino",
        runtimes=(),
        applies=_LAYERED,
        calibrates=True,
        packages=_NNCF,
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
        packages=_ORT,
        summary="weights and arithmetic in half precision, for GPUs",
    ),
    _weights_onnx(8),
    _weights_nncf(8),
    *map(_cascade, (25, 10)),
    VariantSpec(
        name="int8-dynamic",
        maker="steelyard.variants.int8_dynamic:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        applies=_LAYERED,
        packages=_ORT,
        summary="8-bit weights of matrix products and LSTMs; activations are scaled while it runs",
    ),
    *map(_mixed_nncf, _LADDER),
    *map(_mixed_static, _LADDER),
    _nncf(
        "int8-controlled",
        "int8_controlled:make",
        "int8-nncf, with operators given back to float until it agrees with the original on the calibration items",
    ),
    _nncf(
        "int8-asymmetric",
        "int8_nncf:make",
        "int8-nncf with activations scaled from their lowest to their highest value",
        applies="steelyard.variants.conditions:no_transformer",
        preset="mixed",
    ),
    _nncf("int8-nncf", "int8_nncf:make", "8-bit weights and activations, scaled once on calibration items by NNCF"),
    _static(
        "int8-smooth",
        "int8-static of a transformer whose extremes were moved into the weights (SmoothQuant)",
        runtimes=("onnxruntime", "openvino"),
        precisions=("f32", "bf16"),
        after="smoothed",
    ),
    _static("int8-percentile", "int8-static with the outermost 0.01 % of the values cut off", method="percentile"),
    _static("int8-entropy", "int8-static with ranges that keep the most information", method="entropy"),
    _static(
        "int8-static",
        "8-bit weights and activations, scaled once on calibration items by ONNX Runtime",
        runtimes=("onnxruntime", "openvino"),
        precisions=("f32", "bf16"),
    ),
    _weights_onnx(4),
    _weights_nncf(4),
    *map(_smaller, (85, 70)),
    *map(_smaller_nncf, (85, 70)),
)

VARIANTS: dict[str, VariantSpec] = {spec.name: spec for spec in (*_BASES, *_TRIED)}
