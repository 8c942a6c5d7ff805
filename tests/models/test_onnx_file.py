"""An ONNX file is told exactly, or refused with a message that says why."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from steelyard.errors import ModelError
from steelyard.models.inspect import inspect
from steelyard.records.model import ModelInfo, TensorInfo


def look(path: Path, **more: Any) -> ModelInfo:
    return inspect({"path": str(path), **more})


def refusal(path: Path, **more: Any) -> str:
    with pytest.raises(ModelError) as caught:
        look(path, **more)
    assert caught.value.hint, "a refusal says what to do"
    return str(caught.value)


# What is told ---------------------------------------------------------------------------------------------------


def test_a_small_model_is_told_in_full(small_onnx: Path) -> None:
    info = look(small_onnx)
    assert info.path == str(small_onnx)
    assert info.inputs == (TensorInfo(name="x", dtype="float32", shape=(None, 4)),)
    assert info.outputs == (TensorInfo(name="y", dtype="float32", shape=(None, 3)),)
    assert info.files == ("small.onnx",)
    assert info.size == small_onnx.stat().st_size
    assert info.sha256 == hashlib.sha256(small_onnx.read_bytes()).hexdigest()
    assert info.operators == ("Constant", "Gemm", "Identity", "If", "Neg")
    assert info.detail == "opset 17, IR 8, made by test"
    assert info.fixed_batch is None


def test_the_real_models(models: Path) -> None:
    image = look(models / "efficientnet_lite0.onnx")
    assert image.inputs == (TensorInfo(name="input", dtype="float32", shape=(None, 3, 224, 224)),)
    assert image.outputs == (TensorInfo(name="logits", dtype="float32", shape=(None, 1000)),)
    assert "Conv" in image.operators
    assert image.size == 18_614_599
    lstm = look(models / "lstm_10class.onnx")
    assert lstm.inputs == (TensorInfo(name="x", dtype="float32", shape=(None, 64, 32)),)
    assert "LSTM" in lstm.operators
    assert "opset 20" in lstm.detail


def test_initializers_listed_as_inputs_are_no_inputs(small_model: onnx.ModelProto, tmp_path: Path) -> None:
    small_model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3]))
    onnx.save(small_model, tmp_path / "m.onnx")
    assert [tensor.name for tensor in look(tmp_path / "m.onnx").inputs] == ["x"]


def test_a_real_model_that_lists_its_initializers(models: Path) -> None:
    old = models.parent / "video" / "detectors" / "ultraface-slim-320.onnx"
    assert look(old).inputs == (TensorInfo(name="input", dtype="float32", shape=(1, 3, 240, 320)),)
    assert look(old).fixed_batch == 1


def test_external_data_is_counted_and_hashed(with_external_data: Path) -> None:
    info = look(with_external_data)
    data = with_external_data.parent / "weights" / "data.bin"
    assert info.files == ("model.onnx", "weights/data.bin")
    assert info.size == with_external_data.stat().st_size + data.stat().st_size
    both = with_external_data.read_bytes() + data.read_bytes()
    assert info.sha256 == hashlib.sha256(both).hexdigest()


def test_custom_operators_are_told(small_model: onnx.ModelProto, tmp_path: Path) -> None:
    small_model.graph.node[0].domain = "my.company"
    small_model.opset_import.append(helper.make_opsetid("my.company", 1))
    onnx.save(small_model, tmp_path / "m.onnx")
    assert "custom operators: my.company::Gemm" in look(tmp_path / "m.onnx").detail


def test_a_function_in_the_file_is_no_custom_operator(tmp_path: Path) -> None:
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    twice = helper.make_function("own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], opset[:1])
    graph = one_node_graph(helper.make_node("Twice", ["x"], ["y"], domain="own"))
    onnx.save(helper.make_model(graph, opset_imports=opset, functions=[twice], ir_version=8), tmp_path / "m.onnx")
    info = look(tmp_path / "m.onnx")
    assert "custom" not in info.detail
    assert info.operators == ("Add", "Twice")


# What the disk holds ----------------------------------------------------------------------------------------------


def test_not_there(tmp_path: Path) -> None:
    assert "there is no file" in refusal(tmp_path / "nothing.onnx")


def test_a_folder_names_the_model_in_it(small_onnx: Path) -> None:
    assert "small.onnx" in refusal(small_onnx.parent)


def test_a_folder_called_onnx(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").mkdir()
    assert "is a folder" in refusal(tmp_path / "m.onnx")


def test_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    assert "a device or a pipe" in refusal(tmp_path / "m.onnx")


@pytest.mark.parametrize("path", ["", None, 7, "a\0b"])
def test_no_path(path: object) -> None:
    with pytest.raises(ModelError, match="expected the path"):
        inspect({"path": path})


def test_no_permission(small_model: onnx.ModelProto, unprivileged: contextlib.AbstractContextManager[None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "m.onnx"
        onnx.save(small_model, path)
        path.chmod(0)
        with unprivileged:
            assert "no permission" in refusal(path)


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    assert "is empty" in refusal(tmp_path / "m.onnx")


def test_cut_off_is_told_with_the_numbers(small_onnx: Path) -> None:
    whole = small_onnx.read_bytes()
    small_onnx.write_bytes(whole[: len(whole) // 2])
    assert f"is cut off (or damaged): it has {len(whole) // 2} of at least" in refusal(small_onnx)


def test_random_bytes(tmp_path: Path) -> None:
    for seed in range(50):
        (tmp_path / "m.onnx").write_bytes(np.random.default_rng(seed).bytes(4096))
        refusal(tmp_path / "m.onnx")


def test_no_graph(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    assert "there is no graph" in refusal(tmp_path / "m.onnx")


def test_too_large_is_refused_before_it_is_read(small_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_reading(*_: object) -> bytes:
        raise AssertionError("the file was read")

    monkeypatch.setattr(Path, "read_bytes", no_reading)
    assert "more than the limit of 100 bytes" in refusal(small_onnx, max_bytes=100)


def test_external_data_counts_towards_the_limit(with_external_data: Path) -> None:
    size = look(with_external_data).size
    assert look(with_external_data, max_bytes=size).size == size
    assert "with its external data" in refusal(with_external_data, max_bytes=size - 1)


# External data ----------------------------------------------------------------------------------------------------


def relocate(path: Path, **entries: str) -> None:
    """Rewrites the external-data entries of the first tensor."""
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    kept = {entry.key: entry.value for entry in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in kept.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "weights/../../secret.bin", "/etc/passwd", "", ".", "C:secret", "a\\b", "*/_ORT_MEM_ADDR_/*"],
)
def test_a_location_outside_the_folder(with_external_data: Path, location: str) -> None:
    (with_external_data.parent.parent / "secret.bin").write_bytes(bytes(48))
    relocate(with_external_data, location=location)
    message = refusal(with_external_data)
    assert "'w'" in message
    assert "inside the folder" in message


def test_ort_memory_addresses_are_refused_even_when_such_a_file_is_there(with_external_data: Path) -> None:
    trap = with_external_data.parent / "*" / "_ORT_MEM_ADDR_"
    trap.mkdir(parents=True)
    (trap / "*").write_bytes(bytes(48))
    relocate(with_external_data, location="*/_ORT_MEM_ADDR_/*", offset="0")
    assert "inside the folder" in refusal(with_external_data)


def test_a_symbolic_link(with_external_data: Path) -> None:
    data = with_external_data.parent / "weights" / "data.bin"
    secret = with_external_data.parent.parent / "secret.bin"
    data.rename(secret)
    data.symlink_to(secret)
    assert "symbolic link" in refusal(with_external_data)


def test_a_symbolic_link_on_the_way(with_external_data: Path) -> None:
    folder = with_external_data.parent / "weights"
    elsewhere = with_external_data.parent.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert "symbolic link" in refusal(with_external_data)


def test_a_hard_link(with_external_data: Path) -> None:
    data = with_external_data.parent / "weights" / "data.bin"
    (with_external_data.parent.parent / "secret.bin").hardlink_to(data)
    assert "2 hard links" in refusal(with_external_data)


def test_a_folder_for_data(with_external_data: Path) -> None:
    relocate(with_external_data, location="weights")
    assert "not a regular file" in refusal(with_external_data)


def test_missing_data_is_told_by_name(with_external_data: Path) -> None:
    (with_external_data.parent / "weights" / "data.bin").unlink()
    message = refusal(with_external_data)
    assert "'w'" in message
    assert "'weights/data.bin', which is missing" in message


def test_cut_off_data(with_external_data: Path) -> None:
    data = with_external_data.parent / "weights" / "data.bin"
    data.write_bytes(data.read_bytes()[:20])
    message = refusal(with_external_data)
    assert "ends at byte 48 of data.bin, which has 20 bytes" in message


@pytest.mark.parametrize("length", ["47", "52"])
def test_data_of_another_size_than_the_shape(with_external_data: Path, length: str) -> None:
    relocate(with_external_data, length=length)
    assert f"is {length} bytes long in data.bin; its shape [4, 3] needs 48" in refusal(with_external_data)


@pytest.mark.parametrize("offset", ["-4", "1e3", "0x10", "99999999999999999999", "٣"])
def test_an_offset_that_is_no_number(with_external_data: Path, offset: str) -> None:
    relocate(with_external_data, offset=offset)
    assert "expected a whole number" in refusal(with_external_data)


def test_external_data_in_an_attribute_is_checked(small_model: onnx.ModelProto, tmp_path: Path) -> None:
    constant = small_model.graph.node[1].attribute[0].t
    constant.ClearField("raw_data")
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="../secret.bin")
    (tmp_path / "m.onnx").write_bytes(small_model.SerializeToString())
    assert "inside the folder" in refusal(tmp_path / "m.onnx")


def test_external_data_in_a_branch_is_checked(small_model: onnx.ModelProto, tmp_path: Path) -> None:
    branch = small_model.graph.node[2].attribute[0].g
    hidden = branch.initializer.add(name="hidden", data_type=TensorProto.FLOAT, dims=[1])
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="/etc/passwd")
    (tmp_path / "m.onnx").write_bytes(small_model.SerializeToString())
    assert "'hidden'" in refusal(tmp_path / "m.onnx")


# Memory -----------------------------------------------------------------------------------------------------------


def one_node_graph(node: onnx.NodeProto, *tensors: onnx.TensorProto) -> onnx.GraphProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    return helper.make_graph([node], "one", ends[:1], ends[1:], tensors)


def saved(graph: onnx.GraphProto, tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_initializer_of_200_gb(small_model: onnx.ModelProto, tmp_path: Path) -> None:
    small_model.graph.initializer[0].dims[:] = [50_000, 1_000_000]
    (tmp_path / "m.onnx").write_bytes(small_model.SerializeToString())
    message = refusal(tmp_path / "m.onnx")
    assert "'w' of shape [50000, 1000000] takes 200 GB, more than the limit of 8.59 GB" in message


def test_external_tensors_of_200_gb_in_a_sparse_file(with_external_data: Path) -> None:
    with (with_external_data.parent / "weights" / "data.bin").open("r+b") as data:
        data.truncate(200_000_000_000)
    assert "takes 200 GB" in refusal(with_external_data)


def test_many_tensors_that_share_their_data_are_added_up(with_external_data: Path) -> None:
    (with_external_data.parent / "weights" / "data.bin").write_bytes(bytes(4000))
    model = onnx.load(with_external_data, load_external_data=False)
    for number in range(100):
        shared = model.graph.initializer.add(name=f"shared{number}", data_type=TensorProto.FLOAT, dims=[1000])
        shared.data_location = TensorProto.EXTERNAL
        shared.external_data.add(key="location", value="weights/data.bin")
    with_external_data.write_bytes(model.SerializeToString())
    assert "all tensors together takes 400 kB" in refusal(with_external_data, max_bytes=100_000)


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand", "RandomNormal"])
def test_a_node_that_makes_200_gb(kind: str, tmp_path: Path) -> None:
    shape = numpy_helper.from_array(np.array([50_000, 4_000_000], np.int64), "shape")
    if kind == "RandomNormal":
        node = helper.make_node(kind, [], ["y"], name="big", shape=[50_000, 1_000_000])
    elif kind == "Expand":
        node = helper.make_node(kind, ["x", "shape"], ["y"], name="big")
    else:
        node = helper.make_node(kind, ["shape"], ["y"], name="big", value=numpy_helper.from_array(np.zeros(1, np.int8)))
    path = saved(one_node_graph(node, *([] if kind == "RandomNormal" else [shape])), tmp_path)
    assert f"node 'big' ({kind}) takes 200 GB" in refusal(path)


def test_an_input_of_200_gb(small_model: onnx.ModelProto, tmp_path: Path) -> None:
    small_model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 12_500_000_000
    (tmp_path / "m.onnx").write_bytes(small_model.SerializeToString())
    assert "tensor 'x' takes 200 GB" in refusal(tmp_path / "m.onnx")


def test_a_tensor_with_fewer_bytes_than_its_shape(small_model: onnx.ModelProto, tmp_path: Path) -> None:
    small_model.graph.initializer[0].raw_data = bytes(44)
    (tmp_path / "m.onnx").write_bytes(small_model.SerializeToString())
    assert "needs 48 bytes, the file holds 44 bytes" in refusal(tmp_path / "m.onnx")


def test_a_negative_size(small_model: onnx.ModelProto, tmp_path: Path) -> None:
    small_model.graph.initializer[0].dims[0] = -4
    (tmp_path / "m.onnx").write_bytes(small_model.SerializeToString())
    assert "negative size" in refusal(tmp_path / "m.onnx")


# Graphs -----------------------------------------------------------------------------------------------------------


def test_the_checker_has_a_word(small_model: onnx.ModelProto, tmp_path: Path) -> None:
    small_model.graph.node[0].input[1] = "nowhere"
    (tmp_path / "m.onnx").write_bytes(small_model.SerializeToString())
    message = refusal(tmp_path / "m.onnx")
    assert "is not a valid ONNX model" in message
    assert "nowhere" in message


def test_the_checker_looks_at_models_with_external_data_too(with_external_data: Path) -> None:
    model = onnx.load(with_external_data, load_external_data=False)
    model.graph.node[0].input[1] = "nowhere"
    with_external_data.write_bytes(model.SerializeToString())
    assert "nowhere" in refusal(with_external_data)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (helper.make_tensor_type_proto(TensorProto.COMPLEX64, [None]), "ONNX type 14"),
        (helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None])), "of type sequence"),
        (helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None])), "of type optional"),
    ],
)
@pytest.mark.parametrize("role", ["input", "output"])
def test_only_dense_numbers_and_words_go_in_and_out(
    kind: onnx.TypeProto, found: str, role: str, tmp_path: Path
) -> None:
    graph = one_node_graph(helper.make_node("Identity", ["x"], ["y"]))
    ends = graph.input if role == "input" else graph.output
    ends[0].type.CopyFrom(kind)
    message = refusal(saved(graph, tmp_path))
    assert f"{role} " in message
    assert found in message


def test_no_inputs(tmp_path: Path) -> None:
    graph = one_node_graph(helper.make_node("RandomNormal", [], ["y"], shape=[1, 4]))
    del graph.input[:]
    assert "takes no input" in refusal(saved(graph, tmp_path))


def test_all_number_types_have_numpy_names(tmp_path: Path) -> None:
    for number, name in [
        (10, "float16"),
        (11, "float64"),
        (16, "bfloat16"),
        (9, "bool"),
        (2, "uint8"),
        (7, "int64"),
        (8, "str"),
    ]:
        graph = one_node_graph(helper.make_node("Identity", ["x"], ["y"]))
        for end in (graph.input[0], graph.output[0]):
            end.type.tensor_type.elem_type = number
        assert look(saved(graph, tmp_path)).inputs[0].dtype == name


# Damage -----------------------------------------------------------------------------------------------------------


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damage_gives_an_answer_or_a_model_error(
    data: st.DataObject, small_model: onnx.ModelProto, tmp_path: Path
) -> None:
    content = bytearray(small_model.SerializeToString())
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    length = data.draw(st.one_of(st.just(len(content)), places))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content[:length])
    with contextlib.suppress(ModelError):
        assert look(path).format == "onnx"
