"""An OpenVINO IR is told exactly, or refused before OpenVINO sees it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.errors import ModelError
from steelyard.models.inspect import inspect
from steelyard.records.model import ModelInfo, TensorInfo


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = relu(x·w) with 4 numbers in and 3 out, any batch, as .xml and .bin."""
    import openvino
    from openvino import opset13 as op

    x = op.parameter([-1, 4], np.float32, name="x")
    weights = op.constant(np.arange(12, dtype=np.float32).reshape(4, 3))
    y = op.relu(op.matmul(x, weights, False, False))
    y.output(0).set_names({"y"})
    path = tmp_path_factory.mktemp("ir") / "net.xml"
    openvino.save_model(openvino.Model([y], [x], "net"), path, compress_to_fp16=False)
    return path


@pytest.fixture
def ir(built: Path, tmp_path: Path) -> Path:
    for suffix in (".xml", ".bin"):
        shutil.copy(built.with_suffix(suffix), tmp_path)
    return tmp_path / built.name


@pytest.fixture
def _openvino_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*_: object) -> None:
        raise AssertionError("OpenVINO saw the file")

    monkeypatch.setattr("openvino.Core", seen)


def refusal(path: Path, **more: Any) -> str:
    with pytest.raises(ModelError) as caught:
        inspect({"path": str(path), **more})
    assert caught.value.hint, "a refusal says what to do"
    return str(caught.value)


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text()
    after = change(before)
    assert after != before, "the edit did not take"
    path.write_text(after)


def look(path: Path) -> ModelInfo:
    return inspect({"path": str(path)})


def test_a_small_model_is_told_in_full(ir: Path) -> None:
    info = look(ir)
    assert (info.path, info.format) == (str(ir), "openvino")
    assert info.inputs == (TensorInfo(name="x", dtype="float32", shape=(None, 4)),)
    assert info.outputs == (TensorInfo(name="y", dtype="float32", shape=(None, 3)),)
    assert info.files == ("net.xml", "net.bin")
    assert info.size == ir.stat().st_size + ir.with_suffix(".bin").stat().st_size
    assert info.operators == ("MatMul", "ReLU")
    assert info.detail.startswith("IR version 11, made by OpenVINO 20")


def test_given_by_its_bin_or_its_folder(ir: Path) -> None:
    assert look(ir.with_suffix(".bin")) == look(ir.parent) == look(ir)


def test_two_models_in_a_folder(ir: Path) -> None:
    for suffix in (".xml", ".bin"):
        shutil.copy(ir.with_suffix(suffix), ir.parent / f"other{suffix}")
    assert "net.xml, other.xml" in refusal(ir.parent)


def test_the_real_detector(models: Path) -> None:
    info = look(models.parent / "video" / "detectors" / "person-vehicle-bike-detection-crossroad-0078.xml")
    assert info.inputs == (TensorInfo(name="data", dtype="float32", shape=(1, 3, 1024, 1024)),)
    assert info.outputs == (TensorInfo(name="detection_out", dtype="float32", shape=(1, 1, 200, 7)),)
    assert info.size == 526_260 + 2_357_042
    assert "DetectionOutput" in info.operators


def test_numpy_names_of_element_types(tmp_path: Path) -> None:
    import openvino
    from openvino import opset13 as op

    names = ["float16", "float64", "uint8", "int8", "int32", "int64", "bool"]
    inputs = [op.parameter([1], np.dtype(name).type, name=name) for name in names]
    openvino.save_model(openvino.Model(inputs, inputs, "all"), tmp_path / "all.xml")
    assert [tensor.dtype for tensor in look(tmp_path / "all.xml").inputs] == names


def test_bounded_dimensions_may_vary(ir: Path) -> None:
    edit(ir, lambda text: text.replace('shape="?,4"', 'shape="1..8,4"'))
    assert look(ir).inputs[0].shape == (None, 4)


def test_no_bin(ir: Path) -> None:
    ir.with_suffix(".bin").unlink()
    assert "'net.bin', which is missing" in refusal(ir)


def test_no_xml(ir: Path) -> None:
    ir.unlink()
    assert "has no net.xml beside it" in refusal(ir.with_suffix(".bin"))


def test_a_linked_bin(ir: Path) -> None:
    weights = ir.with_suffix(".bin")
    moved = weights.rename(ir.parent / "elsewhere")
    weights.symlink_to(moved)
    assert "symbolic link" in refusal(ir)
    weights.unlink()
    weights.hardlink_to(moved)
    assert "2 hard links" in refusal(ir)


@pytest.mark.usefixtures("_openvino_stays_out")
class TestOpenvinoNeverSees:
    def test_a_cut_off_bin(self, ir: Path) -> None:
        ir.with_suffix(".bin").write_bytes(bytes(40))
        assert "ends at byte 48 of the .bin, which has 40 bytes" in refusal(ir)

    @pytest.mark.parametrize("offset", ["99999999999", "-1", "0x0", "1_0", ""])
    def test_a_constant_outside_the_bin(self, ir: Path, offset: str) -> None:
        edit(ir, lambda text: text.replace('offset="0"', f'offset="{offset}"'))
        assert "constant" in refusal(ir)

    def test_a_constant_larger_than_its_bytes(self, ir: Path) -> None:
        edit(ir, lambda text: text.replace('shape="4, 3"', 'shape="50000, 1000000"'))
        assert "has 48 bytes; its shape [50000, 1000000] needs 200000000000" in refusal(ir)

    def test_an_input_of_200_gb(self, ir: Path) -> None:
        edit(ir, lambda text: text.replace('shape="?,4"', 'shape="12500000000,4"'))
        assert "takes 200 GB" in refusal(ir)

    def test_a_document_type(self, ir: Path) -> None:
        bomb = '<!DOCTYPE net [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
        edit(ir, lambda text: text.replace("<net ", bomb + "<net ", 1))
        assert "document type" in refusal(ir)

    def test_another_encoding(self, ir: Path) -> None:
        edit(ir, lambda text: text.replace('version="1.0"?', 'version="1.0" encoding="iso-8859-1"?'))
        assert "encoded as 'iso-8859-1'; expected UTF-8" in refusal(ir)

    def test_another_root(self, ir: Path) -> None:
        ir.write_text("<svg></svg>")
        assert "expected <net>, got <svg>" in refusal(ir)

    def test_broken_xml(self, ir: Path) -> None:
        edit(ir, lambda text: text[: len(text) // 2])
        assert "not well-formed XML" in refusal(ir)

    def test_deep_nesting(self, ir: Path) -> None:
        ir.write_text("<net>" * 10_000)
        assert "nested more than" in refusal(ir)

    def test_too_large(self, ir: Path) -> None:
        size = ir.stat().st_size + ir.with_suffix(".bin").stat().st_size
        assert "more than the limit" in refusal(ir, max_bytes=size - 1)


def test_what_openvino_refuses(ir: Path) -> None:
    edit(ir, lambda text: text.replace('type="MatMul"', 'type="NoSuchThing"'))
    message = refusal(ir)
    assert "OpenVINO cannot read" in message
    assert "NoSuchThing" in message


def test_strings_go_nowhere(ir: Path) -> None:
    import openvino
    from openvino import opset15 as op

    text = op.parameter([-1], openvino.Type.string, name="text")
    openvino.save_model(openvino.Model([text], [text], "words"), ir)
    assert "elements of type string" in refusal(ir)


def test_no_number_of_dimensions(ir: Path) -> None:
    import openvino
    from openvino import opset13 as op

    x = op.parameter(openvino.PartialShape.dynamic(), np.float32, name="x")
    openvino.save_model(openvino.Model([op.relu(x)], [x], "any"), ir)
    assert "no fixed number of dimensions" in refusal(ir)
