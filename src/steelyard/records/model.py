"""What is known of a portable model before a runtime has seen it."""

from __future__ import annotations

from typing import Literal

from steelyard.records.base import Record

ModelFormat = Literal["onnx", "openvino"]

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "Convolution", "GroupConvolution", "ConvolutionBackpropData"})
PRODUCTS = frozenset({"MatMul", "Gemm"})
RECURRENT = frozenset({"LSTM", "GRU", "RNN", "LSTMSequence", "GRUSequence", "RNNSequence", "TensorIterator"})
LAYERS = CONVOLUTIONS | PRODUCTS | RECURRENT
"""Operator types, in ONNX and in OpenVINO, that multiply by weights."""


class TensorInfo(Record):
    """One input or output: numpy dtype name, and a shape in which None is a dimension that may vary."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def batch(self) -> int | None:
        """The fixed size of the first dimension, or None when any number of items may go in at once."""
        return self.shape[0] if self.shape else 1


class ModelInfo(Record):
    """A checked model file: what goes in, what comes out, which files belong to it."""

    path: str
    """Absolute path of the main file (.onnx or .xml)."""
    format: ModelFormat
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    files: tuple[str, ...]
    """Every file of the model, relative to the folder of `path`, the main file first."""
    size: int
    """Bytes of all files together."""
    sha256: str
    """Hash over the contents of all files, in the order of `files`."""
    operators: tuple[str, ...] = ()
    """Operator types in the graph, sorted, each once."""
    layers: int = 0
    """Operators that multiply by weights: convolutions, matrix products, recurrent layers."""
    detail: str = ""
    """For people: opset, producer."""
    alone: bool = False
    """What it answers to an item depends on what goes in with it: it takes one at a time."""

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that the model insists on, or bears alone; None when it takes any."""
        sizes = [tensor.batch for tensor in self.inputs if tensor.batch is not None]
        return sizes[0] if sizes else 1 if self.alone else None
