"""A network that looks at a smaller picture: it is shrunk inside the graph, so data and interface stay the same.

For networks that pool over whatever is left of the picture in the end: the size that their files declare is only what
they were exported with. M. Tan and Q. Le, "EfficientNet", ICML 2019, tell what the size is worth. Whether a network is
such a one is found out by running it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.onnx_quantising import inputs_of, watched

_MULTIPLE = 32
"""Most networks halve the picture five times."""
_CHANNELS = (1, 3, 4)


def make(source: Path, into: Path, calibration: Mapping[str, Array], percent: int) -> Path:
    """The model at `source`, its picture shrunk to about `percent` of its width and height.

    Raises CandidateFailure where there is no picture, or where the network does not bear another size.
    """
    del calibration
    given = onnx.load(str(source))
    picture, axes = _picture(given.graph)
    smaller = onnx.ModelProto()
    smaller.CopyFrom(given)
    _shrink(smaller.graph, picture, axes, percent)
    del smaller.graph.value_info[:]  # they tell the old sizes
    _require_same_answers(given, smaller)
    target = into / "model.onnx"
    onnx.save(smaller, str(target))
    return target


def _picture(graph: Any) -> tuple[Any, tuple[int, int]]:
    """The one input that is a picture, and its axes of height and width."""
    found = []
    for value in inputs_of(graph):
        sizes = _sizes(value)
        if len(sizes) == 4 and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            found += [(value, axes) for axes, channels in (((2, 3), 1), ((1, 2), 3)) if sizes[channels] in _CHANNELS]
    if len(found) != 1:
        raise CandidateFailure("build", f"expected one input that is a picture, found {len(found)}")
    return found[0]


def _sizes(value: Any) -> list[int]:
    """0 for a dimension that may vary."""
    return [int(each.dim_value) for each in value.type.tensor_type.shape.dim]


def _shrink(graph: Any, picture: Any, axes: tuple[int, int], percent: int) -> None:
    sizes = _sizes(picture)
    scales = np.ones(4, np.float32)
    for axis in axes:
        side = round(sizes[axis] * percent / 100 / _MULTIPLE) * _MULTIPLE
        if not 0 < side < sizes[axis]:
            raise CandidateFailure("build", f"a side of {sizes[axis]} has no smaller size at {percent} %")
        scales[axis] = (side + 1e-3) / sizes[axis]  # rounded down: the side itself might come out one too small
    seen, scale = f"{picture.name}/smaller", f"{picture.name}/scales"
    for node in graph.node:
        node.input[:] = [seen if name == picture.name else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(scales, scale))
    graph.node.insert(0, helper.make_node("Resize", [picture.name, "", scale], [seen], name=seen, mode="linear"))


def _require_same_answers(given: Any, smaller: Any) -> None:
    """Raises CandidateFailure unless the smaller network runs and its outputs have the shapes that they had."""
    inputs = {
        value.name: np.zeros([size or 1 for size in _sizes(value)], helper.tensor_dtype_to_np_dtype(_type(value)))
        for value in inputs_of(given.graph)
    }
    expected = [output.shape for output in watched(given, []).run(None, inputs)]
    try:
        got = [output.shape for output in watched(smaller, []).run(None, inputs)]
    except Exception as error:
        raise CandidateFailure("build", f"it does not bear another size of picture: {error}") from error
    if got != expected:
        raise CandidateFailure("build", f"with a smaller picture it answers {got} instead of {expected}")


def _type(value: Any) -> int:
    return int(value.type.tensor_type.elem_type)
