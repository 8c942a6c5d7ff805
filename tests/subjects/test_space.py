"""What is tried of a model on a machine."""

from __future__ import annotations

from itertools import groupby

import msgspec
import pytest

from steelyard.records.candidate import Candidate
from steelyard.records.engine import RuntimeSpec
from steelyard.records.machine import Machine
from steelyard.records.model import ModelInfo, TensorInfo
from steelyard.runtimes import RUNTIMES
from steelyard.subjects.space import Split, process_splits, space, splits, thread_splits


def machine(cores: int, *features: str) -> Machine:
    return Machine(cpu="made up", arch="x86_64", cores=cores, memory_mb=8000, features=features)


def model(batch: int | None = None) -> ModelInfo:
    tensor = TensorInfo(name="x", dtype="float32", shape=(batch, 3))
    return ModelInfo(
        path="/m.onnx", format="onnx", inputs=(tensor,), outputs=(tensor,), files=("m.onnx",), size=1, sha256="0"
    )


def test_two_cores_together_apart_and_in_two_processes() -> None:
    assert splits(RUNTIMES["onnxruntime"], 2) == (Split(2, 1), Split(1, 2), Split(1, 1, 2))


def test_one_core_cannot_be_divided() -> None:
    assert splits(RUNTIMES["onnxruntime"], 1) == (Split(1, 1),)


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (4, [(4, 1), (2, 2), (1, 4)]),
        (6, [(6, 1), (3, 2), (1, 6)]),
        (7, [(7, 1), (3, 2), (1, 7)]),
        (12, [(12, 1), (6, 2), (3, 4), (1, 12)]),
        (64, [(64, 1), (32, 2), (16, 4), (8, 8), (4, 16), (2, 32), (1, 64)]),
    ],
)
def test_threads_and_streams_use_every_core_they_can(cores: int, expected: list[tuple[int, int]]) -> None:
    assert [(split.threads, split.streams) for split in thread_splits(cores)] == expected


@pytest.mark.parametrize(
    ("cores", "expected"), [(2, (1, 2)), (3, (1, 3)), (12, (2, 6)), (13, (2, 6)), (64, (8, 8)), (192, (24, 8))]
)
def test_processes_are_few_and_leave_hardly_a_core_idle(cores: int, expected: tuple[int, int]) -> None:
    (split,) = process_splits(cores)
    assert (split.threads, split.instances) == expected
    assert split.streams == 1


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 5), (8, 5), (64, 8)])
def test_settings_of_one_kind_of_numerics_are_few(cores: int, most: int) -> None:
    candidates = list(space(model(), machine(cores, "avx512_bf16")))
    for _, settings in groupby(candidates, key=lambda c: c.numerics):
        assert len(list(settings)) <= most
    assert len({c.id for c in candidates}) == len(candidates)


def test_bf16_is_tried_where_the_processor_has_it() -> None:
    def precisions(*features: str) -> set[str]:
        return {c.precision for c in space(model(), machine(2, *features))}

    assert "bf16" in precisions("avx512_bf16")
    assert "bf16" not in precisions("avx2")


def test_a_fixed_batch_is_kept() -> None:
    assert {c.max_batch for c in space(model(batch=4), machine(2))} == {4}


def test_what_compiles_for_long_comes_last_and_not_to_a_short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.subjects.space.lacking", lambda runtime: "")
    names = [c.runtime for c in space(model(), machine(2)) if RUNTIMES[c.runtime].device == "cpu"]
    assert names[-2:] == ["torch-inductor"] * 2
    assert "torch-inductor" not in names[:-2]
    assert not any(RUNTIMES[c.runtime].compiles for c in space(model(), machine(2), patient=False))


def test_a_classical_model_is_left_to_the_runtimes_that_know_its_operators() -> None:
    trees = msgspec.structs.replace(model(), operators=("Cast", "TreeEnsembleClassifier"))
    assert {c.runtime for c in space(trees, machine(2))} == {"onnxruntime"}


def test_a_runtime_that_lacks_something_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    lame = RuntimeSpec(
        name="openvino",
        opener="x:y",
        package="numpy",
        reads=("onnx", "openvino"),
        precisions=("f32",),
        needs="space_of_tests:lacking",
    )
    monkeypatch.setitem(RUNTIMES, "openvino", lame)
    monkeypatch.setattr("steelyard.runtimes._lacking", lambda needs: f"{needs}: no engine")
    assert {c.runtime for c in space(model(), machine(2))} & {"openvino"} == set()


def test_a_candidates_id_tells_several_processes_and_nothing_of_one() -> None:
    one = Candidate(variant="v", runtime="r", threads=1, streams=2, max_batch=8)
    assert one.id == "v.r.f32.t1s2b8"
    two = Candidate(variant="v", runtime="r", threads=1, streams=2, max_batch=8, instances=2)
    assert two.id == "v.r.f32.t1s2b8i2"
    assert (one.workers, two.workers) == (2, 4)
