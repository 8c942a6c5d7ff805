"""Check a model file before any runtime sees it. Runs in a killable child process, by dotted path."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steelyard.errors import ModelError
from steelyard.models.files import model_path, read_start, size_of_plain_file, status_of, unreadable
from steelyard.models.foreign import refuse_foreign, refuse_foreign_folder
from steelyard.records.model import ModelInfo

DEFAULT_MAX_BYTES = 8 * 2**30
"""Bytes that all files of a model together may take."""


def inspect(argument: Mapping[str, Any]) -> ModelInfo:
    """What the model at `argument["path"]` is, once every check has passed.

    `path` names an .onnx file, the .xml or .bin of an OpenVINO IR, or a folder with one IR in it;
    `max_bytes` (8 GiB unless given) bounds its files together and the memory that its tensors declare.
    Raises ModelError with what was expected, what was found and what to do.
    """
    path = model_path(argument.get("path"))
    max_bytes = int(argument.get("max_bytes", DEFAULT_MAX_BYTES))
    if stat.S_ISDIR(status_of(path).st_mode):
        path = _ir_in_folder(path)
    size_of_plain_file(path, max_bytes)
    if path.suffix.lower() == ".bin" and path.with_suffix(".xml").is_file():
        path = path.with_suffix(".xml")
        size_of_plain_file(path, max_bytes)
    refuse_foreign(path)
    return _inspect_by_suffix(path, max_bytes)


def _inspect_by_suffix(path: Path, max_bytes: int) -> ModelInfo:
    suffix = path.suffix.lower()
    looks_like_xml = read_start(path, 256).removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"<?xml", b"<net"))
    if suffix == ".xml":
        from steelyard.models.openvino_ir import inspect_openvino

        return inspect_openvino(path, max_bytes)
    if suffix == ".onnx" and not looks_like_xml:
        from steelyard.models.onnx_file import inspect_onnx

        return inspect_onnx(path, max_bytes)
    if looks_like_xml:
        raise ModelError(
            f"{path} holds XML; expected an ONNX model (.onnx) or an OpenVINO IR (.xml)",
            "if it is an OpenVINO IR, name it NAME.xml and put its NAME.bin beside it",
        )
    if suffix == ".bin":
        raise ModelError(
            f"{path} has no {path.stem}.xml beside it; expected the two files of an OpenVINO IR",
            "put the .xml into the same folder",
        )
    raise ModelError(
        f"{path} is neither an .onnx file nor the .xml of an OpenVINO IR",
        "if it is an ONNX model, give it the suffix .onnx",
    )


def _ir_in_folder(folder: Path) -> Path:
    refuse_foreign_folder(folder)
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from error
    pairs = [name for name in names if name.endswith(".xml") and name.removesuffix(".xml") + ".bin" in names]
    if len(pairs) == 1:
        return folder / pairs[0]
    models = [name for name in names if name.lower().endswith((".onnx", ".xml"))]
    hint = f"give one of its files: {', '.join(models[:5])}" if models else "give the path of the .onnx or .xml file"
    found = f"{len(pairs)} OpenVINO models" if pairs else "no OpenVINO model"
    raise ModelError(f"expected a model file, {folder} is a folder with {found} in it", hint)
