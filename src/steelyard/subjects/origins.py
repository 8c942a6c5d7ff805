"""What each variant of a subject is made of: the model as it was given, or another that was given as a variant of it.

Such another model (distilled, pruned, trained for 8 bits …) is run as it is under the name that it was given by, and
what changes numbers only is made of it too: `NAME-int8-nncf`. What is in 8 bits already is only run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from steelyard.errors import ModelError, UsageError
from steelyard.records.engine import VariantSpec
from steelyard.records.model import ModelInfo, TensorInfo
from steelyard.variants import VARIANTS
from steelyard.variants.conditions import in_8_bits

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
ORIGINAL = "original"
OF_OTHERS = (ORIGINAL, "tf32", "bf16", "fp16", "int8-dynamic", "int8-nncf", "int8-static")
"""What is made of other models than the subject's own: they multiply the candidates."""


class Origin(NamedTuple):
    """How a variant comes about."""

    name: str
    """As candidates call it."""
    spec: VariantSpec
    info: ModelInfo
    """The model that it is made of."""


def origins(info: ModelInfo, others: Mapping[str, ModelInfo]) -> Iterator[Origin]:
    """Every variant that could be made, first those of the model as given, in the table's order."""
    for spec in VARIANTS.values():
        yield Origin(spec.name, spec, info)
    for name, other in others.items():
        for of in OF_OTHERS:
            spec = VARIANTS[of]
            if spec.writes is None or not in_8_bits(other):
                yield Origin(name if of == ORIGINAL else f"{name}-{of}", spec, other)


def check_names(others: Mapping[str, ModelInfo]) -> None:
    """Raises UsageError for a name that is none, or that a variant has already."""
    for name in others:
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name for a variant", "take lower-case letters, digits, - and _")
        if name in VARIANTS or name.endswith(tuple(f"-{of}" for of in OF_OTHERS)):
            raise UsageError(f"the name {name!r} is taken: Steelyard makes a variant that is called so", "take another")


def check_interface(name: str, other: ModelInfo, info: ModelInfo) -> None:
    """Raises ModelError unless `other`, the variant `name`, is asked and answers as the model `info` does.

    Inputs agree in names, order, types and shapes, outputs in order, types and, where both tell them, shapes.
    """
    if _asked(other) != _asked(info):
        raise ModelError(
            f"the variant '{name}' takes {_told(other.inputs)}, the model takes {_told(info.inputs)}",
            "a variant has the same inputs as the model: export it with the same names and axes",
        )
    pairs = list(zip(other.outputs, info.outputs, strict=False))
    if len(other.outputs) != len(info.outputs) or not all(_answers_alike(one, two) for one, two in pairs):
        raise ModelError(
            f"the variant '{name}' gives {_told(other.outputs)}, the model gives {_told(info.outputs)}",
            "a variant has the same outputs as the model, in the same order",
        )


def _asked(info: ModelInfo) -> list[tuple[object, ...]]:
    return [(each.name, each.dtype, each.shape) for each in info.inputs]


def _answers_alike(one: TensorInfo, two: TensorInfo) -> bool:
    sizes = list(zip(one.shape, two.shape, strict=False))
    known = all(a == b for a, b in sizes if a is not None and b is not None)
    return one.dtype == two.dtype and len(one.shape) == len(two.shape) and known


def _told(tensors: tuple[TensorInfo, ...]) -> str:
    return ", ".join(f"{t.name} {t.dtype}[{', '.join(str(size or '?') for size in t.shape)}]" for t in tensors)
