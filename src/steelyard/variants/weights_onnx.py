"""Weights of matrix products in 8 or 4 bits, activations in float: where reading the weights takes the time.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.onnx_quantising import prepared_model

BLOCK = {8: 128, 4: 32}
"""Weights that share one scale: the fewer bits, the fewer of them."""
_INT8_PRODUCTS = 4
"""Accuracy level: activations are rounded to 8 bits block by block while it runs, which CPUs multiply fast."""


def make(source: Path, into: Path, calibration: Mapping[str, Array], bits: int) -> Path:
    """The model at `source` with the weights of its products in `bits` bits and blocks with a scale and a zero each."""
    del calibration
    model = prepared_model(source, into)
    quantiser = MatMulNBitsQuantizer(
        model, bits=bits, block_size=BLOCK[bits], is_symmetric=False, accuracy_level=_INT8_PRODUCTS
    )
    quantiser.process()
    if not any(node.op_type == "MatMulNBits" for node in quantiser.model.model.graph.node):
        raise CandidateFailure("build", "nothing to quantise: this model multiplies by no stored matrix")
    target = into / "model.onnx"
    quantiser.model.save_model_to_file(str(target))
    return target
