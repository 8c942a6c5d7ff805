"""8-bit weights and activations in ONNX: pairs of quantise and dequantise around what can run in 8 bits (QDQ).

Unsigned activations and signed weights with one scale per channel: other pairs were measured to be 2 to 17 times
slower or to answer wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorsData
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from steelyard.variants.onnx_quantising import bears_little, needs_reduced_range

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest value that a tensor is to hold, by its name."""

_ALL = sorted({*QLinearOpsRegistry, *QDQRegistry})
_PRODUCTS = ["Gemm", "MatMul"]
_MICROSOFT = "com.microsoft"


def operators(graph: Any) -> list[str]:
    """The types of operators that are quantised: all that can be, in a transformer only its products."""
    return _PRODUCTS if bears_little(graph) else _ALL


def quantise(
    prepared: Path,
    target: Path,
    ranges: Ranges,
    *,
    in_float: Collection[str] = (),
    unrounded: Collection[str] = (),
    keep_activations: bool = False,
) -> None:
    """Writes `target`: the model in 8 bits, with the operators named `in_float` left as they are.

    What these read is rounded to 8 bits all the same where the operator that makes it runs in 8 bits; not so what is
    read by the operators named `unrounded`, which stay in float as well.
    `keep_activations` leaves ReLU and Clip in the graph even where the range of the next tensor makes them needless.
    """
    model = onnx.load(str(prepared))
    quantiser = QDQQuantizer(
        model,
        True,  # one scale per channel
        needs_reduced_range(),
        QuantType.QInt8,
        QuantType.QUInt8,
        _tensors(ranges),
        [],
        [*in_float, *unrounded],
        operators(model.graph),
        {"QDQKeepRemovableActivations": keep_activations},
    )
    quantiser.quantize_model()
    _read_unrounded(quantiser.model.model, unrounded)
    _keep_in_float(quantiser.model.model, {*in_float, *unrounded})
    quantiser.model.save_model_to_file(str(target), False)


def _read_unrounded(model: Any, names: Collection[str]) -> None:
    """Lets these operators read past pairs of quantise and dequantise, and drops the pairs that nothing reads then."""
    maker = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.name in names:
            node.input[:] = [_past_pair(name, maker) for name in node.input]
    for kind in ("DequantizeLinear", "QuantizeLinear"):
        read = {name for node in model.graph.node for name in node.input} | {out.name for out in model.graph.output}
        kept = [node for node in model.graph.node if node.op_type != kind or read & set(node.output)]
        del model.graph.node[:]
        model.graph.node.extend(kept)


def _past_pair(name: str, maker: Mapping[str, Any]) -> str:
    second = maker.get(name)
    first = maker.get(second.input[0]) if second is not None and second.op_type == "DequantizeLinear" else None
    return str(first.input[0]) if first is not None and first.op_type == "QuantizeLinear" else name


def _keep_in_float(model: Any, names: Collection[str]) -> None:
    """Keeps ONNX Runtime from quantising these operators after all, with one scale for all channels.

    Its optimiser (`WeightBiasQuantization`) does so to each convolution and product between a dequantised and a
    quantised tensor, but not to its own forms of them.
    """
    for node in model.graph.node:
        if node.name in names and node.op_type in ("Conv", "Gemm"):
            node.op_type, node.domain = f"Fused{node.op_type}", _MICROSOFT
            if node.op_type == "FusedGemm":  # this one insists on an activation; a leak of 1 changes nothing
                settings = {"activation": "LeakyRelu", "activation_alpha": 1.0}
                node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in settings.items())
    if names and _MICROSOFT not in {each.domain for each in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid(_MICROSOFT, 1))


def _tensors(ranges: Ranges) -> Any:
    found = {name: (np.float32(lowest), np.float32(highest)) for name, (lowest, highest) in ranges.items()}
    return TensorsData(CalibrationMethod.MinMax, {name: tuple(map(np.asarray, pair)) for name, pair in found.items()})


def write_ranges(ranges: Ranges, path: Path) -> None:
    """Keeps ranges in a file."""
    path.write_text(json.dumps(ranges, indent=1))


def read_ranges(path: Path) -> Ranges:
    """The ranges that were kept in a file."""
    return {name: (float(lowest), float(highest)) for name, (lowest, highest) in json.loads(path.read_text()).items()}
