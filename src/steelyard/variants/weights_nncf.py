"""Weights in 8 or 4 bits by NNCF, activations in float; the result is an OpenVINO IR.

https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/weight-compression.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.openvino_ir import nncf, read, write

_SETTINGS: Mapping[int, Mapping[str, Any]] = {
    8: {"mode": nncf.CompressWeightsMode.INT8_ASYM},
    # Products whose rows cannot be divided into groups get 8 bits, as do embeddings and the last layer.
    4: {
        "mode": nncf.CompressWeightsMode.INT4_SYM,
        "group_size": 64,
        "ratio": 1.0,
        "advanced_parameters": nncf.AdvancedCompressionParameters(
            group_size_fallback_mode=nncf.GroupSizeFallbackMode.IGNORE
        ),
    },
}


def make(source: Path, into: Path, calibration: Mapping[str, Array], bits: int) -> Path:
    """The model at `source` (ONNX or IR) with the weights of its products in `bits` bits."""
    del calibration
    model = read(source)
    before = _narrow(model)
    compressed = nncf.compress_weights(model, **_SETTINGS[bits])
    if _narrow(compressed) == before:
        raise CandidateFailure("build", "nothing to quantise: this model multiplies by no stored matrix")
    return write(compressed, into)


def _narrow(model: Any) -> int:
    """Stored tensors of 8 bits and less."""
    stored = (each for each in model.get_ops() if each.get_type_name() == "Constant")
    return sum(each.get_element_type().get_type_name() in ("i8", "u8", "i4", "u4") for each in stored)
