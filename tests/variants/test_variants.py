from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from outlying import OUTLYING
from steelyard.errors import CandidateFailure, ModelError, UsageError
from steelyard.records.engine import Array, SessionSettings, VariantSpec
from steelyard.runtimes import RUNTIMES, open_session
from steelyard.testing import check_variant, tiny_model
from steelyard.testing.samples import Sample, tiny_pictures, tiny_transformer
from steelyard.variants import VARIANTS, chain, make, make_with
from steelyard.variants.calibration import Batches
from steelyard.variants.onnx_quantising import needs_reduced_range
from steelyard.variants.transformers import Operation, is_transformer

ATTENDS = [
    *("smoothed", "studied-static", "studied-nncf", "int8-smooth"),
    *("int8-weights", "int8-weights-nncf", "int4-weights", "int4-weights-nncf"),
    *("int8-static-mixed-1", "int8-static-mixed-4", "int8-nncf-mixed-4"),
]
SEES = ["input-85", "input-70", "input-70-int8-nncf"]
OTHERS = [
    *("original", "optimised", "tf32", "bf16", "fp16", "int8-dynamic", "int8-asymmetric", "int8-nncf"),
    *("cascade-25", "int8-percentile", "int8-entropy", "int8-static"),
]


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        *((name, tiny_model) for name in OTHERS),
        *((name, tiny_transformer()) for name in ATTENDS),
        *((name, tiny_pictures()) for name in SEES),
        ("int8-controlled", OUTLYING),
    ],
    ids=[*OTHERS, *ATTENDS, *SEES, "int8-controlled"],
)
def test_keeps_the_contract(name: str, sample: Sample) -> None:
    check_variant(VARIANTS[name], sample)


def test_every_maker_is_held_against_the_contract() -> None:
    checked = {VARIANTS[name].maker for name in (*OTHERS, *ATTENDS, *SEES, "int8-controlled")}
    assert checked == {spec.maker for spec in VARIANTS.values()}


def test_the_tables_fit_each_other() -> None:
    assert {name: spec.name for name, spec in VARIANTS.items()} == {name: name for name in VARIANTS}
    assert {runtime for spec in VARIANTS.values() for runtime in spec.runtimes} == set(RUNTIMES)
    for spec in VARIANTS.values():
        for base in chain(spec.name)[:-1]:
            assert set(spec.reads) <= set(base.reads), f"{spec.name} is made of {base.name}"
        assert (not spec.runtimes) == (spec.name in {other.after for other in VARIANTS.values()} - {*TRIED_AND_BASE})


TRIED_AND_BASE = ("input-85", "input-70")


def test_the_boldest_come_last() -> None:
    tried = [name for name, spec in VARIANTS.items() if spec.runtimes]
    assert tried[0] == "original"
    for cautious, bold in [
        ("bf16", "int8-dynamic"),
        ("int8-weights", "int4-weights"),
        ("int8-nncf-mixed-8", "int8-nncf-mixed-1"),
        ("int8-nncf-mixed-1", "int8-nncf"),
        ("int8-static-mixed-1", "int8-static"),
        ("int8-static", "input-85"),
        ("input-85", "input-70"),
    ]:
        assert tried.index(cautious) < tried.index(bold)


def test_an_unknown_variant_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8-static"):
        make("int4", tmp_path / "m.onnx", tmp_path / "out", {})


@pytest.mark.parametrize("name", ["int8-static", "int8-nncf", "int8-static-mixed-1"])
def test_calibrating_needs_items(name: str, tmp_path: Path) -> None:
    source = tiny_model.write(tmp_path / "m", "onnx")
    with pytest.raises(CandidateFailure, match="needs calibration items") as caught:
        make(name, source, tmp_path / "out", {"x": np.empty((0, tiny_model.FEATURES), np.float32)})
    assert caught.value.kind == "build"


@pytest.mark.parametrize("name", [name for name, spec in VARIANTS.items() if "original" not in spec.maker])
def test_a_tools_own_error_ends_in_one_line(name: str, tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    source.write_bytes(b"this is no model")
    made = chain(name)[0].name
    with pytest.raises(CandidateFailure, match=rf"{made} cannot be made of m\.onnx: .") as caught:
        make(name, source, tmp_path / "out", tiny_model.items(4))
    assert caught.value.kind == "build"
    assert "\n" not in caught.value.message
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", [*ATTENDS, "int8-dynamic", "int8-asymmetric", "int8-static", "optimised", "fp16"])
def test_making_prints_nothing(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A child process answers its parent in writing: a progress bar in between would break the answer."""
    sample: Sample = tiny_transformer() if name in ATTENDS else tiny_model
    make(name, sample.write(tmp_path / "m", "onnx"), tmp_path / "out", sample.items(8))
    assert tuple(capfd.readouterr()) == ("", "")


def graph_of(
    nodes: list[Any], features: int = 4, batch: int | str = "n", stored: Mapping[str, Array] | None = None
) -> Any:
    """A model from `x` [batch, features] to `y` [batch, features]."""
    value = helper.make_tensor_value_info
    shape = [batch, features]
    weights = [numpy_helper.from_array(array, name) for name, array in (stored or {}).items()]
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, shape)], [value("y", TensorProto.FLOAT, shape)], weights
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    "name",
    [
        *("int8-dynamic", "int8-static", "int8-nncf", "int8-asymmetric", "int8-controlled", "int8-percentile"),
        *("int8-static-mixed-1", "int8-nncf-mixed-1", "int8-weights", "int4-weights", "int8-weights-nncf"),
    ],
)
def test_a_model_without_products_has_nothing_to_quantise(name: str, tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    onnx.save(graph_of([helper.make_node("Sin", ["x"], ["s"]), helper.make_node("Abs", ["s"], ["y"])]), str(source))
    items = {"x": np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)}
    with pytest.raises(CandidateFailure, match="nothing to quantise") as caught:
        make(name, source, tmp_path / "out", items)
    assert caught.value.kind == "build"


@pytest.mark.parametrize("name", ["int8-static", "int8-nncf"])
def test_calibrates_a_model_that_insists_on_its_batch(name: str, tmp_path: Path) -> None:
    """Seven items in batches of three: the rest is filled up, never dropped or fed short."""
    random = np.random.default_rng(0)
    weights = {"w": random.normal(size=(4, 4)).astype(np.float32)}
    source = tmp_path / "m.onnx"
    onnx.save(graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], batch=3, stored=weights), str(source))
    items = random.normal(size=(7, 4)).astype(np.float32)
    made = make(name, source, tmp_path / "out", {"x": items})
    got = open_session("openvino", made, SessionSettings()).run(0, {"x": items[:3]})[0]
    np.testing.assert_allclose(got, items[:3] @ weights["w"], atol=0.15)
    assert not np.array_equal(got, items[:3] @ weights["w"])


def test_the_original_takes_its_external_data_along(tmp_path: Path) -> None:
    source = tmp_path / "given" / "m.onnx"
    source.parent.mkdir()
    weights = {"w": np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)}
    model = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], features=64, stored=weights)
    onnx.save(model, str(source), save_as_external_data=True, location="weights.bin", size_threshold=0)
    made = make("original", source, tmp_path / "out", {})
    source.unlink()
    (source.parent / "weights.bin").unlink()
    items = np.ones((2, 64), np.float32)
    got = open_session("onnxruntime", made, SessionSettings()).run(0, {"x": items})[0]
    np.testing.assert_allclose(got, items @ weights["w"], rtol=1e-4)


def test_the_original_takes_nothing_from_outside_its_folder(tmp_path: Path) -> None:
    source = tmp_path / "given" / "m.onnx"
    source.parent.mkdir()
    model = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], stored={"w": np.eye(4, dtype=np.float32)})
    onnx.save(model, str(source), save_as_external_data=True, location="weights.bin", size_threshold=0)
    (source.parent / "weights.bin").rename(tmp_path / "secret")
    source.write_bytes(source.read_bytes().replace(b"weights.bin", b"../././secr"))
    with pytest.raises(ModelError, match="inside the folder"):
        make("original", source, tmp_path / "out", {})


def test_weights_keep_seven_bits_where_eight_may_overflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    told = {"flags : avx2": True, "flags : avx2 avx512_vnni": False, "flags : avx2 avx_vnni": False, "nothing": False}
    for text, expected in told.items():
        (tmp_path / "cpuinfo").write_text(f"model name : some CPU\n{text}\n")
        assert needs_reduced_range(tmp_path / "cpuinfo") is expected, text
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert not needs_reduced_range(tmp_path / "cpuinfo")
    assert not needs_reduced_range(tmp_path / "absent")


def test_batches_cover_every_item_and_are_all_full() -> None:
    batches = Batches({"x": np.arange(7), "m": np.arange(7) * 10}, 3)
    assert [each["x"].tolist() for each in batches] == [[0, 1, 2], [3, 4, 5], [6, 0, 1]]
    assert [each["m"].tolist() for each in batches][2] == [60, 0, 10]
    assert [each["x"].tolist() for each in Batches({"x": np.arange(2)}, 5)] == [[0, 1, 0, 1, 0]]


def graph_in_order(*operations: tuple[str, str, str]) -> list[Operation]:
    return [Operation(kind, tuple(reads.split()), (made,)) for kind, reads, made in operations]


def test_tells_a_transformer_from_a_classifier() -> None:
    classifier = graph_in_order(("Conv", "x w", "a"), ("MatMul", "a v", "b"), ("Softmax", "b", "y"))
    attention = graph_in_order(
        ("MatMul", "x wq", "q"), ("MatMul", "q x", "s"), ("Softmax", "s", "p"), ("MatMul", "p x", "y")
    )
    shared_weight = graph_in_order(("Transpose", "w", "wt"), ("MatMul", "x wt", "a"), ("Softmax", "a", "y"))
    assert not is_transformer(classifier, ["x"])
    assert not is_transformer(shared_weight, ["x"])
    assert is_transformer(attention, ["x"])
    assert is_transformer(graph_in_order(("LayerNormalization", "x g b", "y")), ["x"])


FAULTS = {
    "beside": "changes files outside its folder",
    "source": "changes files outside its folder",
    "elsewhere": "outside",
    "cwd": "working folder",
    "format": "says it writes",
    "chance": "answers differently",
    "nan": "not finite",
    "fails": "cannot be made of",
}


def make_faulty(source: Path, into: Path, _calibration: Mapping[str, Array], *, fault: str) -> Path:
    target = into / ("model.txt" if fault == "format" else "model.onnx")
    model = onnx.load(str(source))
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights *= {"chance": np.random.default_rng().random(), "nan": np.nan}.get(fault, 1)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    onnx.save(model, str(target))
    if fault == "beside":
        (into.parent / "cache.bin").write_bytes(b"1")
    if fault == "source":
        model.producer_name = "changed"
        onnx.save(model, str(source))
    if fault == "cwd":
        Path("augmented_model.onnx").write_bytes(b"1")
    if fault == "fails":
        raise ValueError("no")
    return source if fault == "elsewhere" else target


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_the_contract_finds_faults(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys.modules[__name__],
        "make_it",
        lambda source, into, items: make_faulty(source, into, items, fault=fault),
        raising=False,
    )
    spec = VariantSpec(
        name="mine", maker=f"{__name__}:make_it", reads=("onnx",), writes="onnx", runtimes=("onnxruntime",)
    )
    if not fault:
        check_variant(spec)
        return
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        check_variant(spec)


def test_a_variant_of_ones_own_needs_no_place_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys.modules[__name__],
        "make_it",
        lambda source, into, items: make_faulty(source, into, items, fault=""),
        raising=False,
    )
    spec = VariantSpec(
        name="mine", maker=f"{__name__}:make_it", reads=("onnx",), writes="onnx", runtimes=("onnxruntime",)
    )
    made = make_with(spec, tiny_model.write(tmp_path / "m", "onnx"), tmp_path / "out", {})
    assert made == tmp_path / "out" / "model.onnx"
