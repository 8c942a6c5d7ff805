"""Weights and arithmetic in half precision, for GPUs; inputs and outputs stay in single precision.

https://onnxruntime.ai/docs/performance/model-optimizations/float16.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.onnx_quantising import prepared_model


def make(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """The model at `source` in half precision, but for the operators that have no such form or that it would spoil."""
    del calibration
    model = prepared_model(source, into)
    before = _halves(model)
    converted = convert_float_to_float16(model, keep_io_types=True)
    if _halves(converted) == before:
        raise CandidateFailure("build", "there are no weights in single precision to be halved")
    target = into / "model.onnx"
    onnx.save(converted, str(target))
    return target


def _halves(model: onnx.ModelProto) -> int:
    return sum(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
