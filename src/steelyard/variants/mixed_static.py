"""8 bits by ONNX Runtime, except for the layers in which they cost the most quality per millisecond."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import onnx
import onnxruntime

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants import sensitivity
from steelyard.variants.calibration import Batches
from steelyard.variants.onnx_quantising import batch_of, bears_little, prepared_model, watched
from steelyard.variants.qdq import operators, quantise, read_ranges, write_ranges
from steelyard.variants.ranges import ranges
from steelyard.variants.sensitivity import Layer
from steelyard.variants.smoothed import smooth

RANGES = "ranges.json"
_GIVEN = "as-given/"
_TRACED = 8
"""As many layers are returned to float at most."""
_PASSING = frozenset(
    {"MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Concat", "Split", "Slice", "Clip", "Relu"}
)
"""These hand values on, or cut them off where the range of the 8 bits does: they compute nothing that could lose."""


def study(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """The model at `source` in float, with its ranges and its layers, the costliest first, in files beside it.

    A transformer is smoothed first.
    """
    model = prepared_model(source, into)
    if bears_little(model.graph):
        model = smooth(model, calibration)
    target = into / "model.onnx"
    onnx.save(model, str(target))
    batch = batch_of(model.graph)
    seen = ranges(target, Batches(calibration, batch), operators(model.graph))
    write_ranges(seen, into / RANGES)
    with tempfile.TemporaryDirectory(dir=into) as folder:
        quantised = Path(folder) / "quantised.onnx"
        quantise(target, quantised, seen, keep_activations=True)
        sensitivity.keep(_layers(model, onnx.load(str(quantised)), sensitivity.some(calibration, batch)), into)
    return target


def make(source: Path, into: Path, calibration: Mapping[str, Array], layers: int) -> Path:
    """The model that was studied, in 8 bits but for its `layers` costliest layers."""
    del calibration
    costliest = sensitivity.costliest(source.parent, layers)
    in_float = sensitivity.names_of(costliest)
    unrounded = _with_what_passes(source, sensitivity.names_of(each for each in costliest if each.by_inputs))
    target = into / "model.onnx"
    ranges_of = read_ranges(source.parent / RANGES)
    quantise(source, target, ranges_of, in_float=in_float, unrounded=unrounded)
    shutil.copyfile(source.parent / sensitivity.FILE, into / sensitivity.FILE)
    return target


def _layers(given: Any, quantised: Any, batches: Sequence[Mapping[str, Array]]) -> list[Layer]:
    switch = _Switch(given, quantised)
    if not switch.names:
        raise CandidateFailure("build", "nothing to quantise: no operator of this model has an 8-bit form")
    saved = _saved(given, switch.names, batches[0])
    layers = sensitivity.study(saved, lambda names: _answers(switch.only(names), batches))
    expected = _answers(switch.only(()), batches)

    def traced(layer: Layer) -> Layer:
        got = _answers(switch.only(layer.names, weights=False), batches)
        by_inputs = sensitivity.divergence(expected, got) > layer.divergence / 2
        return msgspec.structs.replace(layer, by_inputs=by_inputs)

    return [traced(layer) if place < _TRACED else layer for place, layer in enumerate(layers)]


def _with_what_passes(path: Path, layers: Sequence[str]) -> list[str]:
    """These layers, and the operators that hand values on to them."""
    graph = onnx.load(str(path)).graph
    maker = {name: node for node in graph.node for name in node.output}
    found = [node for node in graph.node if node.name in layers]
    for node in found:  # grows while it is walked
        before = [maker[name] for name in node.input if name in maker]
        found += [each for each in before if each.op_type in _PASSING and each not in found]
    return [node.name for node in found]


class _Switch:
    """A quantised model in which any layers can be had in 8 bits and all others in float."""

    def __init__(self, given: Any, quantised: Any) -> None:
        self._model = quantised
        self._float = {node.name: list(node.input) for node in given.graph.node}
        self._int8 = {node.name: list(node.input) for node in self._model.graph.node}
        self._take_weights(given.graph)
        made = {name for node in self._model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
        self.names = [
            node.name
            for node in given.graph.node
            if node.op_type not in _PASSING and made & set(self._int8.get(node.name, ()))
        ]
        self._turning = Lock()

    def _take_weights(self, given: Any) -> None:
        """Adds the float weights, under names that the quantised model does not use."""
        renamed = {tensor.name: f"{_GIVEN}{tensor.name}" for tensor in given.initializer}
        for tensor in given.initializer:
            self._model.graph.initializer.add().CopyFrom(tensor)
            self._model.graph.initializer[-1].name = renamed[tensor.name]
        self._float = {node: [renamed.get(each, each) for each in reads] for node, reads in self._float.items()}

    def only(self, names: Sequence[str], *, weights: bool = True) -> bytes:
        """The model with only these layers in 8 bits, or with only what they read of other operators."""
        with self._turning:
            for node in self._model.graph.node:
                if node.name in self._float:
                    node.input[:] = self._reads(node.name, weights) if node.name in names else self._float[node.name]
            return bytes(self._model.SerializeToString())

    def _reads(self, name: str, weights: bool) -> list[str]:
        pairs = zip(self._int8[name], self._float[name], strict=True)
        return [int8 if weights or not given.startswith(_GIVEN) else given for int8, given in pairs]


def _saved(model: Any, layers: Sequence[str], batch: Mapping[str, Array]) -> dict[str, float]:
    """The milliseconds that 8 bits save in each layer for this batch."""
    stored = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.name in layers]
    computed = sorted({name for node in nodes for name in (*node.input, node.output[0]) if name} - {*stored, *batch})
    values = watched(model, computed).run(computed, batch)
    shapes = stored | {name: values.shape for name, values in (*batch.items(), *zip(computed, values, strict=True))}
    return {
        node.name: sensitivity.saved_ms(
            node.op_type, [shapes[name] for name in node.input if name], shapes[node.output[0]]
        )
        for node in nodes
    }


def _answers(model: bytes, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
    """All outputs for all batches, one after the other."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [output for batch in batches for output in session.run(None, batch)]
