"""8-bit weights and activations by NNCF, scaled once on calibration items; the result is an OpenVINO IR.

https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html
Of a transformer the extremes of the activations are moved into the weights first (G. Xiao et al., "SmoothQuant",
arXiv:2211.10438, 2022): NNCF does so by itself once it is told that it is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.calibration import Batches
from steelyard.variants.openvino_ir import nncf, read, write
from steelyard.variants.transformers import Operation, is_transformer

NOTHING = "nothing to quantise: no operator of this model has an 8-bit form"

Preset = Literal["", "performance", "mixed"]


def make(source: Path, into: Path, calibration: Mapping[str, Array], preset: Preset = "") -> Path:
    """The model at `source` (ONNX or IR) in 8 bits; the weights that stay in float keep their 32 bits.

    `preset`: performance, symmetric activations; mixed, asymmetric ones, which fit a tensor better whose values lie
    more on one side of zero; empty, mixed for a transformer and performance for all others.
    """
    model = read(source)
    if preset == "mixed" and transformer(model):
        raise CandidateFailure("build", "of a transformer the activations are asymmetric already: it is int8-nncf")
    quantised = quantise(model, calibration, preset=nncf.QuantizationPreset(preset) if preset else None)
    return write(quantised, into)


def quantise(model: Any, calibration: Mapping[str, Array], *, in_float: Sequence[str] = (), **settings: Any) -> Any:
    """The model in 8 bits, with the operators named `in_float` left as they are; further settings as NNCF knows them.

    Raises CandidateFailure when NNCF passes over every operator.
    """
    before = quantisers(model)
    if in_float:
        settings["ignored_scope"] = nncf.IgnoredScope(names=list(in_float))
    batches = Batches(calibration, batch_of(model))
    quantised = nncf.quantize(
        model,
        nncf.Dataset(range(len(batches)), batches.__getitem__),
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER if transformer(model) else None,
        **settings,
    )
    if quantisers(quantised) == before:
        raise CandidateFailure("build", NOTHING)
    return quantised


def batch_of(model: Any) -> int:
    """Items that go in at once: as many as the model insists on, otherwise one."""
    first = [each.get_partial_shape()[0] for each in model.inputs if len(each.get_partial_shape())]
    return next((int(size.get_length()) for size in first if size.is_static), 1)


def quantisers(model: Any) -> int:
    """How many tensors are quantised."""
    return sum(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops())


def transformer(model: Any) -> bool:
    """See `variants/transformers.py`."""
    inputs = [each.get_node().get_friendly_name() for each in model.inputs]
    return is_transformer(_operations(model), inputs)


def _operations(model: Any) -> Iterator[Operation]:
    for each in model.get_ordered_ops():
        reads = tuple(value.get_source_output().get_node().get_friendly_name() for value in each.inputs())
        yield Operation(each.get_type_name(), reads, (each.get_friendly_name(),))
