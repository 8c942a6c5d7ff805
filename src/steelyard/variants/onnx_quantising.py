"""What both of ONNX Runtime's ways to 8 bits share.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnxruntime.quantization.shape_inference import quant_pre_process

from steelyard.errors import CandidateFailure

# The tools open sessions of their own, which would tell of each weight and each fused operator.
onnxruntime.set_default_logger_severity(3)

_OPSET = 13
"""The first opset in which a weight may have one scale per channel."""


def prepare(source: Path, folder: Path) -> Path:
    """The model at `source` with shapes inferred and constants folded, as one file in `folder`."""
    model = onnx.load(str(source))
    if _opset(model) < _OPSET:
        model = onnx.version_converter.convert_version(model, _OPSET)
    _free_weights(model)
    whole, target = folder / "whole.onnx", folder / "prepared.onnx"
    onnx.save(model, str(whole))
    try:
        quant_pre_process(str(whole), str(target))
    except Exception:
        # The symbolic inference of shapes fails on some exported transformers; ONNX's own is enough for them.
        quant_pre_process(str(whole), str(target), skip_symbolic_shape=True)
    return target


def require_quantised(before: Path, after: Path) -> None:
    """Raises CandidateFailure when the tool passed over every operator: it says nothing itself."""
    new = _operators(after) - _operators(before)
    if not any("Quant" in name or "Integer" in name or name.startswith("QLinear") for name in new):
        raise CandidateFailure("build", "nothing to quantise: no operator of this model has an 8-bit form")


def needs_reduced_range(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether 8-bit products may overflow on this CPU: x86 without VNNI adds pairs of them in 16 bits.

    Weights are then kept to 7 bits. Where the CPU cannot be asked the answer is no.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or not cpuinfo.is_file():
        return False
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "")
    return bool(flags) and not {"avx512_vnni", "avx_vnni"} & set(flags.split())


def _free_weights(model: Any) -> None:
    """Takes weights out of the inputs, where files of before IR version 4 list them: there they count as variable."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)


def _opset(model: Any) -> int:
    return next((int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)


def _operators(path: Path) -> set[str]:
    graph = onnx.load(str(path), load_external_data=False).graph
    return {node.op_type for node in graph.node}
