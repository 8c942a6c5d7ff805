"""What all of ONNX Runtime's ways to fewer bits share.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import contextlib
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnxruntime.quantization.shape_inference import quant_pre_process

from steelyard.errors import CandidateFailure
from steelyard.variants.transformers import Operation, is_transformer

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
    folder = folder.resolve()
    whole, target = folder / "whole.onnx", folder / "prepared.onnx"
    onnx.save(model, str(whole))
    try:
        with contextlib.chdir(folder):  # where it fails it leaves a copy of the model in the working folder
            quant_pre_process(str(whole), str(target))
    except Exception:
        # The symbolic inference of shapes fails on some exported transformers; ONNX's own is enough for them.
        quant_pre_process(str(whole), str(target), skip_symbolic_shape=True)
    _name_nodes(target)
    return target


def prepared_model(source: Path, into: Path) -> Any:
    """As `prepare`, but the model itself; nothing stays in the folder."""
    with tempfile.TemporaryDirectory(dir=into) as folder:
        return onnx.load(str(prepare(source, Path(folder))))


def watched(model: Any, names: Sequence[str]) -> Any:
    """A session that gives these tensors of the model, whatever their place in it."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    given = {value.name for value in model.graph.output}
    other.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(other.SerializeToString(), options, providers=["CPUExecutionProvider"])


def inputs_of(graph: Any) -> list[Any]:
    """What goes into the graph, weights not counted."""
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def batch_of(graph: Any) -> int:
    """Items that go in at once: as many as the model insists on, otherwise one."""
    first = [value.type.tensor_type.shape.dim[0] for value in inputs_of(graph) if value.type.tensor_type.shape.dim]
    return next((int(size.dim_value) for size in first if size.dim_value > 0), 1)


def bears_little(graph: Any) -> bool:
    """Whether it is a transformer: its sums and norms reach too far for 8 bits."""
    operations = (Operation(node.op_type, tuple(node.input), tuple(node.output)) for node in graph.node)
    return is_transformer(operations, [value.name for value in inputs_of(graph)])


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
    inputs = inputs_of(model.graph)
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)


def _name_nodes(path: Path) -> None:
    """Gives every operator a name of its own: by name it is told which are to stay in float."""
    model = onnx.load(str(path))
    seen: set[str] = set()
    for place, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{place}"
        seen.add(node.name)
    onnx.save(model, str(path))


def _opset(model: Any) -> int:
    return next((int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)


def _operators(path: Path) -> set[str]:
    graph = onnx.load(str(path), load_external_data=False).graph
    return {node.op_type for node in graph.node}
