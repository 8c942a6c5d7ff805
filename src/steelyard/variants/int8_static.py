"""8-bit weights and activations by ONNX Runtime, scaled once on calibration items."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx

from steelyard.records.engine import Array
from steelyard.variants.calibration import Batches
from steelyard.variants.onnx_quantising import batch_of, prepare, require_quantised
from steelyard.variants.qdq import operators, quantise
from steelyard.variants.ranges import Method, ranges


def make(source: Path, into: Path, calibration: Mapping[str, Array], method: Method = "minmax") -> Path:
    """The model at `source` with quantise/dequantise pairs around what can run in 8 bits (QDQ).

    `method` says how the ranges of activations are found: see `variants/ranges.py`.
    """
    target = into / "model.onnx"
    with tempfile.TemporaryDirectory(dir=into) as folder:
        prepared = prepare(source, Path(folder))
        graph = onnx.load(str(prepared)).graph
        quantise(prepared, target, ranges(prepared, Batches(calibration, batch_of(graph)), operators(graph), method))
        require_quantised(prepared, target)
    return target
