"""Anything but a portable model is refused, whatever it is called, with the way to convert it."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch

from steelyard.errors import ModelError
from steelyard.models.inspect import inspect


class Trap:
    """Unpickling it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        inspect({"path": str(path)})
    assert caught.value.hint, "a refusal says what to do"
    return str(caught.value)


def torch_bytes(value: object, **how: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


def zip_bytes(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 10)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.pkl", "model", "model.bin"])
def test_pickles_of_every_protocol_under_every_name(name: str, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = tmp_path / name
    path.write_bytes(pickle.dumps({"model": Trap(mark)}, protocol))
    message = refusal(path)
    assert "pickle" in message
    assert "skl2onnx" in message
    assert not mark.exists(), "the pickle was executed"


def test_joblib(tmp_path: Path) -> None:
    for compress in (0, 3):
        joblib.dump({"weights": np.ones(10)}, tmp_path / "model.joblib", compress=compress)
        (tmp_path / "model.joblib").rename(tmp_path / "model.onnx")
        assert "skl2onnx" in refusal(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["model.onnx", "model.pt", "pytorch_model.bin"])
@pytest.mark.parametrize("new", [True, False])
def test_torch_files_new_and_old(name: str, new: bool, tmp_path: Path) -> None:
    content = torch_bytes({"w": torch.zeros(100_000)}, _use_new_zipfile_serialization=new)
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    assert "PyTorch" in message
    assert "steelyard.weigh(module, ...)" in message
    assert "torch.onnx.export" in message


CONTENTS = {
    "keras": (zip_bytes("metadata.json", "config.json", "model.weights.h5"), "format='onnx'"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "format='onnx'"),
    "npz": (zip_bytes("w.npy"), "weights without a network"),
    "zip": (zip_bytes("model.onnx"), "unpack"),
    "gzip": (gzip.compress(b"x" * 100), "unpack"),
    "bz2": (bz2.compress(b"x" * 100), "unpack"),
    "tar": (bytes(257) + b"ustar" + bytes(300), "unpack"),
    "html": (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "HTML page"),
    "bare html": (b"<html lang='en'>", "HTML page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
    "program": (b"\x7fELF" + bytes(100), "program"),
    "gguf": (b"GGUF" + bytes(100), "weights without a network"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(100), "TensorFlow Lite"),
    "npy": (b"\x93NUMPY\x01\0" + bytes(100), "weights without a network"),
    "xml": (b"<?xml version='1.0'?><net/>", "name it NAME.xml"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_disguised_as_onnx(kind: str, tmp_path: Path) -> None:
    content, expected = CONTENTS[kind]
    (tmp_path / "model.onnx").write_bytes(content)
    assert expected in refusal(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        (".pt", "torch.onnx.export"),
        (".pth", "torch.onnx.export"),
        (".CKPT", "torch.onnx.export"),
        (".pkl", "skl2onnx"),
        (".joblib", "skl2onnx"),
        (".keras", "format='onnx'"),
        (".h5", "format='onnx'"),
        (".pb", "tf2onnx"),
        (".safetensors", "weights"),
        (".txt", "give it the suffix .onnx"),
    ],
)
def test_by_suffix_even_with_an_onnx_inside(suffix: str, expected: str, small_onnx: Path) -> None:
    assert expected in refusal(small_onnx.rename(small_onnx.with_suffix(suffix)))


def test_a_saved_model_folder(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    assert "tf2onnx" in refusal(tmp_path)


def test_an_onnx_file_called_xml(small_onnx: Path) -> None:
    (small_onnx.parent / "small.bin").touch()
    assert "not well-formed XML" in refusal(small_onnx.rename(small_onnx.with_suffix(".xml")))


def test_importing_it_loads_no_engine() -> None:
    code = (
        "import sys, steelyard.models.inspect\n"
        "print([name for name in ('onnx', 'onnxruntime', 'openvino', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['numpy']")
