"""Check an ONNX file (https://onnx.ai/onnx/repo-docs/IR.html) and tell what goes in and what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steelyard.errors import ModelError
from steelyard.models.files import require_below, sha256_of, size_of_plain_file, unreadable
from steelyard.models.onnx_tensors import (
    NUMPY_NAMES,
    all_graphs,
    all_tensors,
    external_files,
    require_memory_below,
)
from steelyard.records.model import LAYERS, ModelInfo, TensorInfo

_LARGEST_MESSAGE = 2**31 - 1
_STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training")
_AGAIN = "export or download the model again"


def inspect_onnx(path: Path, max_bytes: int) -> ModelInfo:
    """What the ONNX model at the absolute `path` is; `max_bytes` bounds its files and its tensors in memory.

    External data is never loaded. Raises ModelError for anything that a runtime should not see.
    """
    try:
        return _inspected(path, max_bytes)
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} holds a name that is not UTF-8: the file is damaged", _AGAIN) from error


def _inspected(path: Path, max_bytes: int) -> ModelInfo:
    size = size_of_plain_file(path, max_bytes)
    model = _parsed(path, size)
    folder = path.parent
    names = external_files(all_tensors(model), folder, path.name)
    size += sum((folder / name).stat().st_size for name in names)
    require_below(size, max_bytes, f"{path} with its external data")
    require_memory_below(model, max_bytes, path.name)
    _run_checker(path, model, external=bool(names))
    return ModelInfo(
        path=str(path),
        format="onnx",
        inputs=_inputs(model, path),
        outputs=tuple(_tensor(value, "output", path) for value in model.graph.output),
        files=(path.name, *names),
        size=size,
        sha256=sha256_of(folder / name for name in (path.name, *names)),
        operators=tuple(sorted({node.op_type for graph in all_graphs(model) for node in graph.node})),
        layers=sum(node.op_type in LAYERS for graph in all_graphs(model) for node in graph.node),
        detail=_detail(model),
    )


def _parsed(path: Path, size: int) -> Any:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    if size > _LARGEST_MESSAGE:
        raise ModelError(
            f"{path} has {size} bytes; an ONNX file cannot be larger than {_LARGEST_MESSAGE}",
            "save it with external data: onnx.save(model, path, save_as_external_data=True)",
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    _refuse_cut_off(content, path)
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ModelError(f"{path} is not an ONNX model, or it is damaged: it cannot be parsed", _AGAIN) from error
    if not model.HasField("graph"):
        raise ModelError(f"{path} is not an ONNX model: there is no graph in it", _AGAIN)
    return model


def _refuse_cut_off(content: bytes, path: Path) -> None:
    """Tells a truncated file from nonsense: the graph, field 7 of the message, announces its own length.

    Wire format: https://protobuf.dev/programming-guides/encoding/
    """
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == 2:
            length, at = _varint(content, at)
            if tag >> 3 == 7 and 0 < len(content) < at + length <= _LARGEST_MESSAGE:
                raise ModelError(
                    f"{path} is cut off (or damaged): it has {len(content)} of at least {at + length} bytes",
                    "download or copy it again; compare its size with the original's",
                )
            at += length
        elif kind == 0:
            _, at = _varint(content, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            return


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(content[at : at + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    return 0, len(content)


def _run_checker(path: Path, model: Any, *, external: bool) -> None:
    from onnx import checker

    try:
        # By path, the checker looks for the external files itself; otherwise the one parse is enough.
        checker.check_model(str(path) if external else model)
    except (checker.ValidationError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ModelError(f"{path} is not a valid ONNX model: {reason}", "export the model again") from error


def _inputs(model: Any, path: Path) -> tuple[TensorInfo, ...]:
    # Before IR version 4 every initializer had to be listed among the inputs as well.
    stored = {tensor.name for tensor in model.graph.initializer}
    stored |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    inputs = tuple(_tensor(value, "input", path) for value in model.graph.input if value.name not in stored)
    if not inputs:
        raise ModelError(f"{path} takes no input: there is nothing to weigh", "export it with its inputs as arguments")
    return inputs


def _tensor(value: Any, role: str, path: Path) -> TensorInfo:
    kind = value.type.WhichOneof("value") or "nothing"
    what = f"{path}: {role} {value.name!r}"
    if kind != "tensor_type":
        raise ModelError(f"{what} is of type {kind.removesuffix('_type')}; expected a dense tensor", _mend(role))
    tensor = value.type.tensor_type
    if tensor.elem_type not in NUMPY_NAMES:
        raise ModelError(
            f"{what} holds elements of ONNX type {tensor.elem_type}; expected numbers, booleans or words", _mend(role)
        )
    if not tensor.HasField("shape"):
        raise ModelError(
            f"{what} has no shape, not even its number of dimensions",
            "run onnx.shape_inference.infer_shapes over the model and save it again",
        )
    # Some exporters write 0 or -1 for a dimension that may vary.
    shape = tuple(size.dim_value if size.dim_value > 0 else None for size in tensor.shape.dim)
    return TensorInfo(name=value.name, dtype=NUMPY_NAMES[tensor.elem_type], shape=shape)


def _mend(role: str) -> str:
    if role == "input":
        return "export only the numeric part of the model; do tokenising and decoding outside it"
    return "export the model without that output; from scikit-learn: skl2onnx options={'zipmap': False}"


def _detail(model: Any) -> str:
    opsets = {each.domain: each.version for each in model.opset_import}
    parts = [f"opset {opsets.get('', opsets.get('ai.onnx', '?'))}", f"IR {model.ir_version}"]
    producer = f"{model.producer_name} {model.producer_version}".strip()
    if producer:
        parts.append(f"made by {producer[:80]}")
    if custom := _custom_operators(model):
        parts.append(f"custom operators: {', '.join(custom)}")
    return ", ".join(parts)


def _custom_operators(model: Any) -> list[str]:
    """Operators that only a runtime with the right extension knows; functions inside the file are not among them."""
    own = {(function.domain, function.name) for function in model.functions}
    nodes = (node for graph in all_graphs(model) for node in graph.node)
    return sorted(
        {
            f"{node.domain}::{node.op_type}"
            for node in nodes
            if node.domain not in _STANDARD_DOMAINS and (node.domain, node.op_type) not in own
        }
    )
