"""On which models a variant is worth trying: light looks at what is known of a model before a runtime has seen it.

They keep the search free of what is hopeless. A maker looks closer and may still refuse.
"""

from __future__ import annotations

from functools import partial

from steelyard.records.model import CONVOLUTIONS, PRODUCTS, ModelInfo
from steelyard.variants.transformers import ATTENTION, NORMS

_NORMS = NORMS | {"SkipLayerNormalization"}
_SOFTMAX = frozenset({"Softmax", "SoftMax"})
_POOLS = frozenset({"GlobalAveragePool", "GlobalMaxPool", "AveragePool", "ReduceMean", "ReduceMax"})

_QUANTISED = frozenset(
    {"QuantizeLinear", "FakeQuantize", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger"}
)

LARGE = 64 * 2**20
"""Bytes of a model whose weights do not stay in a processor's cache: reading them takes longer than multiplying."""
SMALLEST_PICTURE = 128
"""Pixels of a side that bears shrinking."""


def transformer(info: ModelInfo) -> bool:
    """It may attend: an operator for it, norms of layers, or a softmax in a model of products without convolutions."""
    kinds = set(info.operators)
    softmax = bool(kinds & _SOFTMAX and kinds & PRODUCTS) and not kinds & CONVOLUTIONS
    return bool(kinds & (ATTENTION | _NORMS)) or softmax


def no_transformer(info: ModelInfo) -> bool:
    """It has layers and surely does not attend."""
    return info.layers > 0 and not transformer(info)


def in_8_bits(info: ModelInfo) -> bool:
    """It computes in 8 bits as it is: nothing is left to be rounded."""
    return not _QUANTISED.isdisjoint(info.operators)


def _layers_over(count: int, info: ModelInfo) -> bool:
    return info.layers > count


layered = partial(_layers_over, 0)
"""It has layers that 8 bits could make faster."""
layers_over_1 = partial(_layers_over, 1)
layers_over_2 = partial(_layers_over, 2)
layers_over_4 = partial(_layers_over, 4)
layers_over_8 = partial(_layers_over, 8)


def scores_of_classes(info: ModelInfo) -> bool:
    """It has layers, and gives one score for each of several classes and nothing else."""
    shapes = [output.shape for output in info.outputs]
    return layered(info) and len(shapes) == 1 and len(shapes[0]) == 2 and (shapes[0][1] or 0) > 1


def large_products(info: ModelInfo) -> bool:
    """It is large, and by its products rather than by convolutions."""
    kinds = set(info.operators)
    return bool(kinds & PRODUCTS) and info.size >= LARGE and (transformer(info) or not kinds & CONVOLUTIONS)


def pictures(info: ModelInfo) -> bool:
    """One input is a picture of a size that bears shrinking, and the network pools it before it answers."""
    kinds = set(info.operators)
    seen = [tensor for tensor in info.inputs if len(tensor.shape) == 4 and tensor.dtype == "float32"]
    return len(seen) == 1 and _large_sides(seen[0].shape) and bool(kinds & CONVOLUTIONS and kinds & _POOLS)


def _large_sides(shape: tuple[int | None, ...]) -> bool:
    """[n, channels, height, width] or [n, height, width, channels], with both sides known."""
    _, first, second, third = shape
    sides = (second, third) if first in (1, 3, 4) else (first, second) if third in (1, 3, 4) else (None, None)
    return all(side is not None and side >= SMALLEST_PICTURE for side in sides)
