"""A cascade: the network in 8 bits answers first; items of which it is unsure go through the network as it was given.

Both are in one graph, so a cascade is a model like any other: any batch goes in, the unsure items of it are gathered,
answered in float, and put in the place of the first answers. How unsure an answer is tells the margin between its two
highest scores. The margin below which an item is answered again is calibrated so that a given share of the
calibration items is (X. Wang et al., "IDK Cascades: Fast Deep Learning by Learning not to Overthink", UAI 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.calibration import Batches
from steelyard.variants.mixed_static import RANGES
from steelyard.variants.onnx_quantising import batch_of, inputs_of, watched
from steelyard.variants.qdq import quantise, read_ranges

FIRST, AGAIN = "first/", "again/"
_SQUEEZE_BY_INPUT = 13
"""The opset from which on the axes of a Squeeze are an input."""


def make(source: Path, into: Path, calibration: Mapping[str, Array], percent: int) -> Path:
    """A cascade of the model at `source`, which has its ranges beside it, in which `percent` of the items go on.

    Raises CandidateFailure where the model does not give one score for each of several classes.
    """
    whole = onnx.load(str(source))
    scores = _scores(whole.graph)
    first = into / "model.onnx"
    quantise(source, first, read_ranges(source.parent / RANGES))
    quick = onnx.load(str(first))
    margin = _margin(quick, scores, calibration, percent)
    onnx.save(joined(quick, whole, scores, margin), str(first))
    return first


def _scores(graph: Any) -> str:
    """The output that holds the scores."""
    sizes = [[int(size.dim_value) for size in each.type.tensor_type.shape.dim] for each in graph.output]
    if len(sizes) != 1 or len(sizes[0]) != 2 or sizes[0][1] < 2:
        raise CandidateFailure("build", f"a cascade needs one output of scores [items, classes], found {sizes}")
    if graph.output[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise CandidateFailure("build", "a cascade needs scores in float32")
    return str(graph.output[0].name)


def _margin(quick: Any, scores: str, calibration: Mapping[str, Array], percent: int) -> float:
    """So many of the calibration items have no larger margin between their two highest scores."""
    session = watched(quick, [])
    margins: list[Array] = []
    for batch in Batches(calibration, batch_of(quick.graph)):
        highest = np.sort(session.run([scores], batch)[0], axis=1)
        margins.append(highest[:, -1] - highest[:, -2])
    return float(np.quantile(np.concatenate(margins), percent / 100))


def joined(quick: Any, whole: Any, scores: str, margin: float) -> Any:
    """One model of both: what `quick` answers with a margin of `margin` at most is answered by `whole`."""
    names = [each.name for each in inputs_of(whole.graph)]
    cascade = onnx.ModelProto()
    cascade.CopyFrom(quick)
    graph = compose.add_prefix_graph(cascade.graph, FIRST, rename_inputs=False, rename_outputs=True)
    first, unsure = FIRST + scores, "unsure"
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([2]), "two"),
            numpy_helper.from_array(np.array([0, 1]), "both"),
            numpy_helper.from_array(np.array([1]), "column"),
            numpy_helper.from_array(np.array([0]), "row"),
            numpy_helper.from_array(np.array(0), "none"),
            numpy_helper.from_array(np.array(margin, np.float32), "margin"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("TopK", [first, "two"], ["highest", "highest_at"], name="highest", axis=1),
            helper.make_node("Gather", ["highest", "row"], ["best"], name="best", axis=1),
            helper.make_node("Gather", ["highest", "column"], ["second"], name="second", axis=1),
            helper.make_node("Sub", ["best", "second"], ["margins"], name="margins"),
            helper.make_node("Squeeze", ["margins", "column"], ["margin_of"], name="margin_of"),
            helper.make_node("LessOrEqual", ["margin_of", "margin"], ["is_unsure"], name="is_unsure"),
            helper.make_node("NonZero", ["is_unsure"], ["found"], name="found"),
            helper.make_node("Squeeze", ["found", "row"], [unsure], name=unsure),
            helper.make_node("Size", [unsure], ["how_many"], name="how_many"),
            helper.make_node("Greater", ["how_many", "none"], ["any"], name="any"),
            helper.make_node(
                "If",
                ["any"],
                [scores],
                name="go_on",
                then_branch=_again(whole.graph, names, scores, first, unsure),
                else_branch=_as_they_are(first),
            ),
        ]
    )
    del graph.output[:]
    graph.output.extend(whole.graph.output)
    del graph.value_info[:]
    return helper.make_model(graph, opset_imports=_opsets(quick, whole), ir_version=max(quick.ir_version, 8))


def _again(whole: Any, names: list[str], scores: str, first: str, unsure: str) -> Any:
    """The branch that answers the unsure items in float and puts their scores among the first ones."""
    inner = compose.add_prefix_graph(whole, AGAIN)
    gathered = [
        helper.make_node("Gather", [name, unsure], [AGAIN + name], name=f"{AGAIN}gather/{name}", axis=0)
        for name in names
    ]
    places = helper.make_node("Unsqueeze", [unsure, "column"], [f"{AGAIN}places"], name=f"{AGAIN}places")
    put = helper.make_node("ScatterND", [first, f"{AGAIN}places", AGAIN + scores], [f"{AGAIN}all"], name=f"{AGAIN}all")
    output = helper.make_tensor_value_info(f"{AGAIN}all", TensorProto.FLOAT, None)
    return helper.make_graph(
        [*gathered, *inner.node, places, put], "again", [], [output], initializer=list(inner.initializer)
    )


def _as_they_are(first: str) -> Any:
    same = helper.make_node("Identity", [first], ["as_they_are"], name="as_they_are")
    return helper.make_graph(
        [same], "sure", [], [helper.make_tensor_value_info("as_they_are", TensorProto.FLOAT, None)]
    )


def _opsets(*models: Any) -> list[Any]:
    """Of each domain the highest that either was made for."""
    versions: dict[str, int] = {"": _SQUEEZE_BY_INPUT}
    for model in models:
        for each in model.opset_import:
            versions[each.domain] = max(versions.get(each.domain, 0), int(each.version))
    return [helper.make_opsetid(domain, version) for domain, version in versions.items()]
