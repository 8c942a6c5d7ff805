"""Which array goes into which input of the model, and does one item of it fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from steelyard.data.rows import Header
from steelyard.errors import DataError
from steelyard.records.data import DataSpec
from steelyard.records.model import TensorInfo

LABEL_NAMES = ("labels", "label", "y", "targets", "target", "class")
INPUT_NAMES = ("x", "inputs", "images", "X", "data", "input")
LENGTHS = "lengths"

Shape = tuple[int | None, ...]


def match_labels(headers: Mapping[str, Header], spec: DataSpec, inputs: Sequence[TensorInfo]) -> str | None:
    """The name of the array of labels, or None. Raises DataError when the one that was named is not there."""
    if spec.labels is not None:
        return _named(headers, spec.labels, "labels")
    used = {*spec.inputs.values(), spec.calibration, *(info.name for info in inputs)}
    return next((name for name in LABEL_NAMES if name in headers and name not in used), None)


def match_inputs(
    headers: Mapping[str, Header], spec: DataSpec, inputs: Sequence[TensorInfo], labels: str | None
) -> dict[str, str]:
    """Model input → array name. Raises DataError when an input has none, or more than one would do."""
    check_inputs(spec, inputs)
    free = [name for name in headers if name not in (labels, spec.calibration)]
    found: dict[str, str] = {}
    for info in inputs:
        rest = [name for name in free if name not in found.values()]
        found[info.name] = _match_input(headers, spec, info, rest, alone=len(inputs) == 1)
    return found


def check_inputs(spec: DataSpec, inputs: Sequence[TensorInfo]) -> None:
    """Raises DataError when `[data] inputs` names something that is no input of the model."""
    unknown = sorted(set(spec.inputs) - {info.name for info in inputs})
    if unknown:
        raise DataError(
            f"[data] inputs names {unknown[0]!r}, the model's inputs are {', '.join(i.name for i in inputs)}"
        )


def _match_input(
    headers: Mapping[str, Header], spec: DataSpec, info: TensorInfo, free: list[str], *, alone: bool
) -> str:
    if info.name in spec.inputs:
        return _named(headers, spec.inputs[info.name], f"model input {info.name!r}")
    tried: tuple[str, ...] = (info.name, *INPUT_NAMES) if alone else (info.name,)
    by_name = next((name for name in tried if name in free), None)
    if by_name is not None:
        return by_name
    lengths = {match_lengths(headers, name) for name in headers}
    fitting = [name for name in free if name not in lengths and fits(headers[name].shape[1:], info.shape[1:])]
    if len(fitting) == 1:
        return fitting[0]
    which = f"{len(fitting)} arrays could be it" if fitting else "no array has its name or fits its shape"
    raise DataError(
        f"which array goes into the model's input {info.name!r} ({told_shape(info.shape)})? {which}: "
        f"{described(headers)}",
        f'name it: [data.inputs] {info.name} = "{(fitting or free or ["..."])[0]}"',
    )


def match_lengths(headers: Mapping[str, Header], name: str) -> str | None:
    """The array that tells how long each item of the array `name` is: `NAME_lengths`, or `lengths`."""
    tried = (f"{name}_{LENGTHS}", LENGTHS)
    return next((n for n in tried if n != name and n in headers and _counts_something(headers[n])), None)


def _counts_something(header: Header) -> bool:
    return header.dtype.kind in "iu" and len(header.shape) == 1


def step_axis(header: Header, info: TensorInfo, where: str) -> int:
    """Along which axis the steps of an item lie: the first one of the model's input that may vary, after the items."""
    if len(header.shape) != len(info.shape):
        raise DataError(
            f"one item of {where} is {told_shape(header.shape[1:])}, the model's input {info.name!r} takes "
            f"{told_shape(info.shape[1:])}",
            "items of different length are stored filled up to the longest, with their lengths in a second array",
        )
    return next(place for place, size in enumerate(info.shape) if place and size is None)


def _named(headers: Mapping[str, Header], name: str, purpose: str) -> str:
    if name not in headers:
        raise DataError(f"there is no array {name!r} for the {purpose}; there are {described(headers)}")
    return name


def described(headers: Mapping[str, Header]) -> str:
    """The arrays with dtype and shape, for messages."""
    told = [f"{name} ({header.dtype.name} {told_shape(header.shape)})" for name, header in headers.items()]
    return ", ".join(told[:12]) + (" …" if len(told) > 12 else "")


def told_shape(shape: Shape) -> str:
    """`None × 3 × 224 × 224` is written as `? × 3 × 224 × 224`."""
    return " × ".join("?" if size is None else str(size) for size in shape) or "a single number"


def fits(item: Sequence[int], wanted: Shape) -> bool:
    """Whether one item's shape is what the model takes; None takes any size."""
    return len(item) == len(wanted) and all(w in (None, i) for i, w in zip(item, wanted, strict=True))


def order_of_axes(header: Header, info: TensorInfo, where: str) -> tuple[int, ...]:
    """The order in which the array's axes fit the model's input.

    It is the stored order, unless all of the model's sizes are fixed and only channels moved to their other place
    fit: then the sizes prove which axis is which. Raises DataError, with what would fit, otherwise.
    """
    if not info.shape:
        raise DataError(f"the model's input {info.name!r} is a single number: it cannot take items")
    item = header.shape[1:]
    if not header.shape or 0 in header.shape:
        raise DataError(f"{where} is empty: {told_shape(header.shape)}")
    if fits(item, info.shape[1:]):
        return tuple(range(len(header.shape)))
    axes = _channels_moved(item, info.shape[1:])
    if axes and None not in info.shape[1:]:
        return axes
    expected = f"the model's input {info.name!r} takes {told_shape(info.shape[1:])}"
    raise DataError(
        f"one item of {where} is {told_shape(item)}, {expected}",
        _how_to_fit(item, info.shape[1:], axes),
    )


def _channels_moved(item: tuple[int, ...], wanted: Shape) -> tuple[int, ...] | None:
    if len(item) == 3:
        for axes in ((0, 3, 1, 2), (0, 2, 3, 1)):
            if fits([item[axis - 1] for axis in axes[1:]], wanted):
                return axes
    return None


def _how_to_fit(item: tuple[int, ...], wanted: Shape, axes: tuple[int, ...] | None) -> str:
    if axes:
        order = "nhwc to nchw" if axes == (0, 3, 1, 2) else "nchw to nhwc"
        return f"turn it from {order} before saving: x.transpose{axes}"
    for place in (0, len(item)):
        if fits((*item[:place], 1, *item[place:]), wanted):
            return (
                f"the axis of channels is missing; before saving: np.expand_dims(x, {place + 1 if place == 0 else -1})"
            )
    for place, size in enumerate(item):
        if size == 1 and fits(item[:place] + item[place + 1 :], wanted):
            return f"it has one axis too many; before saving: np.squeeze(x, {place + 1})"
    sizes = [size for size in wanted if size is not None]
    if len(sizes) == len(wanted) and math.prod(item) == math.prod(sizes):
        return f"the same number of values: before saving, x.reshape({', '.join(map(str, (-1, *sizes)))})"
    return "give an array whose items have this shape; the first axis counts items"
