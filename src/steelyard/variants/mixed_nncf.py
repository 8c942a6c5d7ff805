"""8 bits by NNCF, except for the layers in which they cost the most quality per millisecond."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.records.engine import Array
from steelyard.variants import sensitivity
from steelyard.variants.int8_nncf import batch_of, quantise
from steelyard.variants.openvino_ir import nncf, openvino, read, write

_SHAPES = frozenset({"Pad", "Reshape", "Squeeze", "Tile", "Transpose", "Unsqueeze"})
_PARTS = frozenset({"Broadcast", "Concat", "Gather", "MaxPool", "Slice", "Split", "StridedSlice", "VariadicSplit"})
_PASSING = _SHAPES | _PARTS | {"Convert"}
"""These hand values on: they compute nothing that could lose by 8 bits."""


def study(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """The model at `source` as an IR in float, and its layers, the costliest first, in a file beside it."""
    model = read(source)
    # Corrected biases make up for what a layer loses by 8 bits: one layer that is left in float would be off by them.
    plain = nncf.AdvancedQuantizationParameters(disable_bias_correction=True)
    quantised = quantise(model.clone(), calibration, advanced_parameters=plain)
    batches = sensitivity.some(calibration, batch_of(model))
    layers = _layers(quantised)
    saved = _saved(quantised, list(layers), batches[0])
    studied = sensitivity.study(saved, lambda names: _answers(_only(quantised, layers, names), batches))
    sensitivity.keep(studied, into)
    return write(model, into)


def make(source: Path, into: Path, calibration: Mapping[str, Array], layers: int) -> Path:
    """The model that was studied, in 8 bits but for its `layers` costliest layers."""
    in_float = sensitivity.names_of(sensitivity.costliest(source.parent, layers))
    target = write(quantise(read(source), calibration, in_float=in_float), into)
    shutil.copyfile(source.parent / sensitivity.FILE, into / sensitivity.FILE)
    return target


def _layers(model: Any) -> dict[str, set[str]]:
    """The operators that read quantised tensors, and the names of the quantisers that they read by."""
    found = {}
    for operation in model.get_ordered_ops():
        if operation.get_type_name() not in _PASSING | {"FakeQuantize", "Result", "ShapeOf"}:
            read_by = set(_quantisers_before(operation))
            if read_by:
                found[operation.get_friendly_name()] = read_by
    return found


def _quantisers_before(operation: Any) -> Iterator[str]:
    waiting = [value.get_source_output().get_node() for value in operation.inputs()]
    while waiting:
        node = waiting.pop()
        if node.get_type_name() == "FakeQuantize":
            yield node.get_friendly_name()
        elif node.get_type_name() in _PASSING:
            waiting.extend(value.get_source_output().get_node() for value in node.inputs())


def _only(model: Any, layers: Mapping[str, set[str]], names: Sequence[str]) -> Any:
    """The model with only these layers in 8 bits: all quantisers that they do not read by are passed by."""
    wanted = {quantiser for name in names for quantiser in layers[name]}
    other = model.clone()
    for operation in other.get_ops():
        if operation.get_type_name() == "FakeQuantize" and operation.get_friendly_name() not in wanted:
            for reader in operation.output(0).get_target_inputs():
                reader.replace_source_output(operation.input_value(0))
    return other


def _answers(model: Any, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
    """All outputs for all batches, one after the other."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1", "NUM_STREAMS": "1"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return [output.copy() for batch in batches for output in request.infer(dict(batch)).values()]


def _saved(model: Any, layers: Sequence[str], batch: Mapping[str, Array]) -> dict[str, float]:
    """The milliseconds that 8 bits save in each layer for this batch; sizes that OpenVINO cannot tell count as 1."""
    known = model.clone()
    known.reshape({name: values.shape for name, values in batch.items()})
    return {
        operation.get_friendly_name(): sensitivity.saved_ms(
            operation.get_type_name(),
            [_sizes(value.get_partial_shape()) for value in operation.inputs()],
            _sizes(operation.output(0).get_partial_shape()),
        )
        for operation in known.get_ordered_ops()
        if operation.get_friendly_name() in layers
    }


def _sizes(shape: Any) -> tuple[int, ...]:
    if shape.rank.is_dynamic:
        return ()
    return tuple(1 if size.is_dynamic else size.get_length() for size in shape)
