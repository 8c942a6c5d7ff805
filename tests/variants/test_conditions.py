"""On which models variants are tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.assets import mnist_model
from steelyard.models.inspect import inspect
from steelyard.records.machine import Machine
from steelyard.records.model import ModelInfo, TensorInfo
from steelyard.subjects.space import space
from steelyard.testing import tiny_model
from steelyard.variants import VARIANTS, applies, conditions

MOST = 150
HERE = Machine(cpu="made up", arch="x86_64", cores=2, memory_mb=8000, features=("avx512_bf16",))


def model(*operators: str, shape: tuple[int | None, ...] = (None, 8), layers: int = 20, size: int = 10**6) -> ModelInfo:
    return ModelInfo(
        path="/m.onnx",
        format="onnx",
        inputs=(TensorInfo(name="x", dtype="float32", shape=shape),),
        outputs=(TensorInfo(name="y", dtype="float32", shape=(None, 4)),),
        files=("m.onnx",),
        size=size,
        sha256="0",
        operators=operators,
        layers=layers,
    )


@pytest.mark.parametrize(
    ("expected", "operators"),
    [
        (True, ("MatMul", "LayerNormalization")),
        (True, ("MatMul", "Softmax", "Erf", "ReduceMean")),
        (True, ("MatMul", "MVN")),
        (True, ("Conv", "LayerNormalization", "MatMul")),
        (False, ("Conv", "Gemm", "Softmax", "MatMul")),
        (False, ("Gemm", "Relu")),
    ],
)
def test_what_may_attend(expected: bool, operators: tuple[str, ...]) -> None:
    info = model(*operators)
    assert conditions.transformer(info) is expected
    assert applies(VARIANTS["int8-smooth"], info) is expected
    assert applies(VARIANTS["int8-asymmetric"], info) is not expected


def test_narrow_weights_are_for_large_products() -> None:
    def tried(info: ModelInfo) -> bool:
        found = {applies(spec, info) for name, spec in VARIANTS.items() if "weights" in name}
        assert len(found) == 1
        return found.pop()

    large = conditions.LARGE
    assert tried(model("MatMul", "LayerNormalization", size=large))
    assert tried(model("Gemm", "Relu", size=large))
    assert not tried(model("Gemm", "Relu", size=large - 1))
    assert not tried(model("Conv", "Gemm", size=large)), "its convolutions are what is large"
    assert tried(model("Conv", "MatMul", "LayerNormalization", size=large))


@pytest.mark.parametrize(
    ("expected", "shape", "operators"),
    [
        (True, (None, 3, 224, 224), ("Conv", "GlobalAveragePool")),
        (True, (1, 128, 160, 3), ("Conv", "ReduceMean")),
        (False, (None, 3, 224, None), ("Conv", "GlobalAveragePool")),
        (False, (None, 1, 28, 28), ("Conv", "GlobalAveragePool")),
        (False, (None, 3, 224, 224), ("Conv", "Gemm")),
        (False, (None, 64, 224, 224), ("Conv", "GlobalAveragePool")),
        (False, (None, 128), ("Gemm", "ReduceMean")),
    ],
)
def test_pictures_that_bear_shrinking(
    expected: bool, shape: tuple[int | None, ...], operators: tuple[str, ...]
) -> None:
    info = model(*operators, shape=shape)
    assert applies(VARIANTS["input-85"], info) is expected
    assert applies(VARIANTS["input-70-int8-nncf"], info) is expected, "what it is made of decides as well"


@pytest.mark.parametrize(("layers", "rungs"), [(0, set()), (1, set()), (2, {1}), (5, {1, 2, 4}), (9, {1, 2, 4, 8})])
def test_rungs_leave_a_layer_in_8_bits(layers: int, rungs: set[int]) -> None:
    info = model("Conv", layers=layers)
    for tool in ("nncf", "static"):
        assert {n for n in (1, 2, 4, 8) if applies(VARIANTS[f"int8-{tool}-mixed-{n}"], info)} == rungs


def test_a_model_without_layers_is_tried_in_float_only() -> None:
    tried = {candidate.variant for candidate in space(model("Relu", "Add", layers=0), HERE)}
    assert tried == {"original", "optimised", "bf16"}


def test_what_only_serves_others_is_not_tried() -> None:
    info = model("Conv", "GlobalAveragePool", "LayerNormalization", shape=(None, 3, 224, 224))
    tried = {candidate.variant for candidate in space(info, HERE)}
    assert not tried & {"smoothed", "studied-static", "studied-nncf"}
    assert {"int8-smooth", "int8-static-mixed-8", "int8-nncf-mixed-1", "input-85-int8-nncf"} <= tried


def test_layers_are_counted_in_both_formats(tmp_path: Path) -> None:
    assert inspect({"path": str(tiny_model.write(tmp_path / "onnx", "onnx"))}).layers == 1
    assert inspect({"path": str(tiny_model.write(tmp_path / "ir", "openvino"))}).layers == 1


def test_the_space_of_a_small_network_stays_small() -> None:
    info = inspect({"path": str(mnist_model())})
    candidates = list(space(info, HERE))
    assert info.layers == 5
    assert len(candidates) <= MOST
    absent = {"int8-smooth", "int8-weights", "int8-nncf-mixed-8", "input-85"}
    assert not absent & {candidate.variant for candidate in candidates}


@pytest.mark.parametrize("name", ["efficientnet_lite0.onnx", "lstm_10class.onnx"])
def test_the_space_of_real_models_stays_small(name: str, models: Path) -> None:
    candidates = list(space(inspect({"path": str(models / name)}), HERE))
    assert 50 < len(candidates) <= MOST
