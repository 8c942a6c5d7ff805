"""Variants of one kind, which differ in a figure or two: how each is told in the table."""

from __future__ import annotations

from steelyard.records.engine import VariantSpec
from steelyard.records.model import ModelFormat

ORT = ("onnx", "onnxruntime")
NNCF = ("nncf", "openvino")
LAYERED = "steelyard.variants.conditions:layered"


def static(
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
        applies=LAYERED,
        calibrates=True,
        packages=ORT,
        summary=summary,
    )


def nncf(
    name: str,
    maker: str,
    summary: str,
    *,
    reads: tuple[ModelFormat, ...] = ("onnx", "openvino"),
    applies: str = LAYERED,
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
        packages=NNCF,
        summary=summary,
    )


def weights_onnx(bits: int) -> VariantSpec:
    """Weights of so many bits by ONNX Runtime."""
    return VariantSpec(
        name=f"int{bits}-weights",
        maker="steelyard.variants.weights_onnx:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        settings={"bits": bits},
        applies="steelyard.variants.conditions:large_products",
        packages=ORT,
        summary=f"{bits}-bit weights of large matrix products, by ONNX Runtime",
    )


def weights_nncf(bits: int) -> VariantSpec:
    """Weights of so many bits by NNCF."""
    return VariantSpec(
        name=f"int{bits}-weights-nncf",
        maker="steelyard.variants.weights_nncf:make",
        reads=("onnx", "openvino"),
        writes="openvino",
        runtimes=("openvino",),
        precisions=("f32", "bf16"),
        settings={"bits": bits},
        applies="steelyard.variants.conditions:large_products",
        packages=NNCF,
        summary=f"{bits}-bit weights of large matrix products, by NNCF",
    )


def _float_layers(count: int) -> str:
    return "the layer" if count == 1 else f"the {count} layers"


def _over(count: int) -> str:
    return f"steelyard.variants.conditions:layers_over_{count}"


def mixed_nncf(count: int) -> VariantSpec:
    """`int8-nncf` with so many layers in float."""
    return nncf(
        f"int8-nncf-mixed-{count}",
        "mixed_nncf:make",
        f"int8-nncf with {_float_layers(count)} in float that cost the most quality per millisecond",
        after="studied-nncf",
        applies=_over(count),
        layers=count,
    )


def mixed_static(count: int) -> VariantSpec:
    """`int8-static` with so many layers in float."""
    return VariantSpec(
        name=f"int8-static-mixed-{count}",
        maker="steelyard.variants.mixed_static:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        settings={"layers": count},
        after="studied-static",
        applies=_over(count),
        packages=ORT,
        summary=f"int8-static with {_float_layers(count)} in float that cost the most quality per millisecond",
    )


def cascade(percent: int) -> VariantSpec:
    """So many of the items go on to the original."""
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
        packages=ORT,
        summary=f"int8-static first; about {percent} % of the items, of which it is unsure, go on to the original",
    )


def smaller(percent: int) -> VariantSpec:
    """Pictures of this size."""
    return VariantSpec(
        name=f"input-{percent}",
        maker="steelyard.variants.smaller_input:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime", "openvino"),
        precisions=("f32", "bf16"),
        settings={"percent": percent},
        applies="steelyard.variants.conditions:pictures",
        packages=ORT,
        summary=f"pictures shrunk inside the network to about {percent} % of their width and height",
    )


def smaller_nncf(percent: int) -> VariantSpec:
    """The same in 8 bits."""
    return nncf(
        f"input-{percent}-int8-nncf",
        "int8_nncf:make",
        f"input-{percent} in 8 bits by NNCF",
        reads=("onnx",),
        after=f"input-{percent}",
    )
