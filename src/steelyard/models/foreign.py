"""What a file is when it is not a portable model, and how to make one from it.

Formats that run code when they are loaded are told by suffix and by their first bytes, whatever the file is
called. Nothing is ever loaded here: at most the two ends of the file are looked at.
"""

from __future__ import annotations

import itertools
import pickletools
import re
from pathlib import Path
from typing import NamedTuple

from steelyard.errors import ModelError
from steelyard.models.files import read_start, unreadable

_LOOK = 1 << 16


class Foreign(NamedTuple):
    """A format that is refused: what it is, and what to do instead."""

    what: str
    hint: str


_FROM_TORCH = (
    "convert it where you trust it: steelyard.weigh(module, ...) from Python takes the module itself, "
    "or torch.onnx.export(module, example_inputs, 'model.onnx', dynamo=True)"
)
_FROM_KERAS = (
    "load it where you trust it: steelyard.weigh(model, ...) from Python takes the Keras 3 model itself, "
    "or model.export('model.onnx', format='onnx')"
)
_FROM_PICKLE = (
    "load it where you trust it: steelyard.weigh(model, ...) from Python takes scikit-learn estimators, torch modules "
    "and Keras 3 models themselves; or convert it with skl2onnx.to_onnx or torch.onnx.export"
)
_TORCH = Foreign("a PyTorch file, which runs code when it is loaded", _FROM_TORCH)
_KERAS = Foreign("a Keras or HDF5 file, which can run code when it is loaded", _FROM_KERAS)
_PICKLE = Foreign("a Python pickle (joblib included), which runs code when it is loaded", _FROM_PICKLE)
_SAVED_MODEL = Foreign(
    "a TensorFlow SavedModel, which can run code when it is loaded",
    "convert it where you trust it: model.export('model.onnx', format='onnx') in Keras 3, or python -m tf2onnx.convert",
)
_COMPRESSED = Foreign("a compressed file", "unpack it; a joblib pickle stays refused: " + _FROM_PICKLE)
_ARCHIVE = Foreign("an archive", "unpack it and give the .onnx or .xml file inside")
_WEIGHTS = Foreign("a file of weights without a network", "export the network with its weights to ONNX")
_LITE = Foreign("a TensorFlow Lite model", "python -m tf2onnx.convert --tflite model.tflite --output model.onnx")
_HTML = Foreign(
    "an HTML page, not a model: the download brought the web page about the file",
    "download the raw file (the 'raw' or 'download' link)",
)
_LFS = Foreign(
    "a git-lfs pointer: a note that says where the model lies, not the model",
    "fetch the model itself: git lfs install && git lfs pull",
)
_PROGRAM = Foreign("a program or a compiled library", "give the .onnx or .xml file of the model")

_BY_SUFFIX = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".pt2", ".mar", ".torchscript"), _TORCH),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".skops"), _PICKLE),
    **dict.fromkeys((".keras", ".h5", ".hdf5"), _KERAS),
    ".pb": _SAVED_MODEL,
    **dict.fromkeys((".safetensors", ".gguf", ".npz", ".npy"), _WEIGHTS),
    ".tflite": _LITE,
}
_STARTS = (
    (b"\x89HDF\r\n\x1a\n", _KERAS),
    (b"version https://git-lfs", _LFS),
    (b"\x7fELF", _PROGRAM),
    (b"MZ\x90", _PROGRAM),
    (b"\x1f\x8b", _COMPRESSED),
    (b"BZh", _COMPRESSED),
    (b"\xfd7zXZ\x00", _COMPRESSED),
    (b"\x28\xb5\x2f\xfd", _COMPRESSED),
    (b"\x04\x22\x4d\x18", _COMPRESSED),
    (b"\x78\x01", _COMPRESSED),
    (b"\x78\x5e", _COMPRESSED),
    (b"\x78\x9c", _COMPRESSED),
    (b"\x78\xda", _COMPRESSED),
    (b"GGUF", _WEIGHTS),
    (b"\x93NUMPY", _WEIGHTS),
)
# The number that opens every file of torch's older format, as a pickled integer.
_TORCH_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")


def refuse_foreign(path: Path) -> None:
    """Raises ModelError when the file `path` is of a format that cannot be taken, and says how to convert it."""
    found = by_content(path)
    if found in (None, _ARCHIVE, _COMPRESSED):
        found = _BY_SUFFIX.get(path.suffix.lower(), found)
    if found:
        raise ModelError(f"{path} is {found.what}; expected an ONNX or OpenVINO model", found.hint)


def refuse_foreign_folder(folder: Path) -> None:
    """Raises ModelError when the folder is a TensorFlow SavedModel."""
    if any((folder / name).exists() for name in ("saved_model.pb", "saved_model.pbtxt", "keras_metadata.pb")):
        raise ModelError(
            f"{folder} is {_SAVED_MODEL.what}; expected an ONNX or OpenVINO model",
            _SAVED_MODEL.hint,
        )


def by_content(path: Path) -> Foreign | None:
    """The foreign format that the bytes of the file show, or None. Raises ModelError when it cannot be read."""
    start = read_start(path, _LOOK)
    if start.startswith(b"PK\x03\x04"):
        return _inside_zip(start + _end_of(path))
    if _is_pickle(start):
        return _TORCH if _TORCH_MAGIC in start[:64] else _PICKLE
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|body)", start, re.IGNORECASE):
        return _HTML
    if start[257:262] == b"ustar":
        return _ARCHIVE
    if start[4:8] == b"TFL3":
        return _LITE
    return next((foreign for magic, foreign in _STARTS if start.startswith(magic)), None)


def _inside_zip(ends: bytes) -> Foreign:
    # Names lie uncompressed at both ends of an archive: no need to trust a reader with its directory.
    if b".pkl" in ends:
        return _TORCH
    if b"model.weights.h5" in ends:
        return _KERAS
    return _WEIGHTS if b".npy" in ends else _ARCHIVE


def _end_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _LOOK, 0))
            return file.read(_LOOK)
    except OSError as error:
        raise unreadable(path, error) from error


def _is_pickle(start: bytes) -> bool:
    """Binary pickles open with 0x80 and the protocol; older ones are told by walking their first codes (unexecuted).

    An ONNX file opens with 0x08, the tag of its IR version, which is no pickle code.
    """
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    try:
        codes = [code.name for code, _, _ in itertools.islice(pickletools.genops(start), 16)]
    except Exception:  # whatever the walk stumbles over, this is not the start of a pickle
        return False
    return len(codes) == 16 or codes[-1:] == ["STOP"]
