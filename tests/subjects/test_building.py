"""The steps in which variants are built, what their keys depend on, and how they share results."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest

from outlying import OUTLYING
from steelyard.errors import CandidateFailure
from steelyard.measure.process import Limits
from steelyard.measure.workbench import Workbench
from steelyard.models.inspect import inspect
from steelyard.records.candidate import Candidate
from steelyard.records.data import ArrayFile, Prepared
from steelyard.records.machine import Machine
from steelyard.records.model import ModelInfo
from steelyard.subjects import building
from steelyard.subjects.building import packages_of, steps
from steelyard.subjects.model import ModelSubject

MACHINE = Machine(cpu="made up", arch="x86_64", cores=2, memory_mb=8000)
ITEMS = 24


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return inspect({"path": str(OUTLYING.write(tmp_path_factory.mktemp("given") / "m", "onnx"))})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("data")
    items = OUTLYING.items(ITEMS)["x"]
    for split in ("calibration", "judging"):
        (folder / split).mkdir()
        np.save(folder / split / "x.npy", items)
    array = ArrayFile(file="calibration/x.npy", dtype="float32", shape=items.shape)
    return Prepared(
        folder=str(folder),
        source="made up",
        sha256="1" * 64,
        calibration={"x": array},
        judging={"x": msgspec.structs.replace(array, file="judging/x.npy")},
        labels=None,
        items_calibrate=ITEMS,
        items_select=ITEMS,
        items_confirm=0,
    )


def keys(variant: str, info: ModelInfo, data: Prepared) -> list[str]:
    return [step.key for step in steps(variant, info, data, MACHINE)]


def test_rungs_of_a_ladder_share_their_study(info: ModelInfo, data: Prepared) -> None:
    one, two = keys("int8-static-mixed-1", info, data), keys("int8-static-mixed-2", info, data)
    assert len(one) == 2
    assert one[0] == two[0] == keys("studied-static", info, data)[0]
    assert one[1] != two[1]
    assert len(keys("int8-static", info, data)) == 1


def test_a_key_depends_on_all_that_takes_part(info: ModelInfo, data: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    other = msgspec.structs.replace(data, sha256="2" * 64)
    before = {name: keys(name, info, data) for name in ("int8-static-mixed-1", "input-85-int8-nncf", "optimised")}
    assert keys("optimised", info, other) == before["optimised"], "it does not calibrate"
    assert not set(keys("int8-static-mixed-1", info, other)) & set(before["int8-static-mixed-1"])
    assert keys("input-85-int8-nncf", info, other)[0] == before["input-85-int8-nncf"][0]
    assert keys("input-85-int8-nncf", info, other)[1] != before["input-85-int8-nncf"][1]
    version = building._version
    monkeypatch.setattr(building, "_version", lambda package: "9" if package == "onnx" else version(package))
    assert not set(keys("input-85-int8-nncf", info, data)) & set(before["input-85-int8-nncf"])


def test_versions_are_looked_up_once_however_often_a_search_asks(
    info: ModelInfo, data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = Mock(wraps=building._version)
    monkeypatch.setattr(building, "_version", version)
    subject = ModelSubject(info, data, "agreement", MACHINE)
    candidate = Candidate(variant="int8-static-mixed-1", runtime="onnxruntime")
    first = subject.recipe(candidate)
    version.assert_called()
    version.reset_mock()
    assert subject.recipe(candidate) == first
    version.assert_not_called()


def test_the_packages_of_what_it_is_made_of_count() -> None:
    assert packages_of("input-85-int8-nncf") == ("onnx", "onnxruntime", "nncf", "openvino")


def test_a_ladder_is_built_from_one_study(info: ModelInfo, data: Prepared, tmp_path: Path) -> None:
    subject = ModelSubject(info, data, "agreement", MACHINE)
    limits = Limits(memory_mb=4000, seconds=120)
    one, two, too_many = (Candidate(variant=f"int8-static-mixed-{count}", runtime="onnxruntime") for count in (1, 2, 8))
    with Workbench(subject, tmp_path, limits, threading.Event()) as bench:
        bench.build(one)
        built = {path.name for path in (tmp_path / "built").iterdir()}
        study = tmp_path / "built" / keys("int8-static-mixed-1", info, data)[0]
        assert built == {study.name, bench.built_folder(one).name}
        made_at = (study / "layers.json").stat().st_mtime_ns
        bench.build(two)
        assert (study / "layers.json").stat().st_mtime_ns == made_at
        assert json.loads((bench.built_folder(two) / "built.json").read_text()) == {"main": "model.onnx"}
        with pytest.raises(CandidateFailure, match="nothing is left in 8 bits"):
            bench.build(too_many)


def test_what_cannot_be_built_is_not_tried_again_for_the_next(info: ModelInfo, data: Prepared, tmp_path: Path) -> None:
    broken = msgspec.structs.replace(info, path=str(tmp_path / "gone.onnx"))
    subject = ModelSubject(broken, data, "agreement", MACHINE)
    calls = []
    with Workbench(subject, tmp_path, Limits(memory_mb=4000, seconds=60), threading.Event()) as bench:
        for count in (1, 2):
            candidate = Candidate(variant=f"int8-static-mixed-{count}", runtime="onnxruntime")
            with pytest.raises(CandidateFailure, match="studied-static cannot be made") as caught:
                bench.build(candidate)
            calls.append(caught.value)
        assert calls[0] is calls[1]
        assert not list((tmp_path / "built").iterdir())
