"""8-bit weights; activations are scaled while the model runs, so that nothing has to be calibrated."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.registry import IntegerOpsRegistry

from steelyard.records.engine import Array
from steelyard.variants.onnx_quantising import needs_reduced_range, prepare, require_quantised

# Convolutions stay in float: scaling their activations anew each time makes them up to ten times slower.
_OPERATORS = sorted(set(IntegerOpsRegistry) - {"Conv"})


def make(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """The model at `source` with its matrix products, LSTMs and look-ups in 8 bits."""
    del calibration
    target = into / "model.onnx"
    with tempfile.TemporaryDirectory(dir=into) as folder:
        prepared = prepare(source, Path(folder))
        quantize_dynamic(
            str(prepared),
            str(target),
            op_types_to_quantize=_OPERATORS,
            reduce_range=needs_reduced_range(),
            weight_type=QuantType.QInt8,
        )
        require_quantised(prepared, target)
    return target
