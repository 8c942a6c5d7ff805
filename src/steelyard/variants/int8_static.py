"""8-bit weights and activations by ONNX Runtime, scaled once on calibration items.

Unsigned activations and signed weights with one scale per channel: other pairs were measured to be 2 to 17 times
slower or to answer wrongly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from steelyard.records.engine import Array
from steelyard.variants.calibration import Batches
from steelyard.variants.onnx_quantising import needs_reduced_range, prepare, require_quantised
from steelyard.variants.transformers import Operation, is_transformer


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands out one batch after the other, as ONNX Runtime asks for them."""

    def __init__(self, batches: Batches) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def make(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """The model at `source` with quantise/dequantise pairs around what can run in 8 bits (QDQ)."""
    target = into / "model.onnx"
    with tempfile.TemporaryDirectory(dir=into) as folder:
        prepared = prepare(source, Path(folder))
        graph = onnx.load(str(prepared)).graph
        quantize_static(
            str(prepared),
            str(target),
            _Reader(Batches(calibration, _batch(graph))),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_operators(graph),
            per_channel=True,
            reduce_range=needs_reduced_range(),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        require_quantised(prepared, target)
    return target


def _inputs(graph: Any) -> list[Any]:
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def _batch(graph: Any) -> int:
    """Items that go in at once: as many as the model insists on, otherwise one."""
    first = [value.type.tensor_type.shape.dim[0] for value in _inputs(graph) if value.type.tensor_type.shape.dim]
    return next((int(size.dim_value) for size in first if size.dim_value > 0), 1)


def _operators(graph: Any) -> list[str] | None:
    """None: whatever can be quantised. A transformer's sums and norms reach too far for 8 bits."""
    operations = (Operation(node.op_type, tuple(node.input), tuple(node.output)) for node in graph.node)
    inputs = [value.name for value in _inputs(graph)]
    return ["Gemm", "MatMul"] if is_transformer(operations, inputs) else None
