"""8-bit weights and activations by NNCF, scaled once on calibration items; the result is an OpenVINO IR.

https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.calibration import Batches
from steelyard.variants.transformers import Operation, is_transformer

# NNCF and OpenVINO would report each use to their makers over the network and leave an identifier in the home
# folder. Where the telemetry package cannot be imported they fall back to stubs that do nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import nncf  # noqa: E402
import openvino  # noqa: E402


def make(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """The model at `source` (ONNX or IR) in 8 bits; the weights that stay in float keep their 32 bits."""
    model = openvino.Core().read_model(str(source))
    before = _quantisers(model)
    batches = Batches(calibration, _batch(model))
    quantised = nncf.quantize(
        model,
        nncf.Dataset(range(len(batches)), batches.__getitem__),
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER if _is_transformer(model) else None,
    )
    if _quantisers(quantised) == before:
        raise CandidateFailure("build", "nothing to quantise: no operator of this model has an 8-bit form")
    target = into / "model.xml"
    openvino.save_model(quantised, str(target), compress_to_fp16=False)
    return target


def _batch(model: Any) -> int:
    """Items that go in at once: as many as the model insists on, otherwise one."""
    first = [each.get_partial_shape()[0] for each in model.inputs if len(each.get_partial_shape())]
    return next((int(size.get_length()) for size in first if size.is_static), 1)


def _quantisers(model: Any) -> int:
    return sum(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops())


def _is_transformer(model: Any) -> bool:
    inputs = [each.get_node().get_friendly_name() for each in model.inputs]
    return is_transformer(_operations(model), inputs)


def _operations(model: Any) -> Iterator[Operation]:
    for each in model.get_ordered_ops():
        reads = tuple(value.get_source_output().get_node().get_friendly_name() for value in each.inputs())
        yield Operation(each.get_type_name(), reads, (each.get_friendly_name(),))
