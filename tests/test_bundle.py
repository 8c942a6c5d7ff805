"""A bundle is whole or not there, replaces an older one in one step, and tells what was changed."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from made_up import REFERENCE, candidate, evidence, service, weighing
from rights import unprivileged
from steelyard import bundle as module
from steelyard.bundle import check_place, read_bundle, read_plan, write_bundle
from steelyard.decision import decide
from steelyard.errors import BundleError
from steelyard.records.machine import Price
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Requirements

FAST = candidate("int8")


@pytest.fixture
def plan() -> Plan:
    found = {
        REFERENCE.id: evidence(REFERENCE, service(4, 1, [1])),
        FAST.id: evidence(FAST, service(0.5, 0.5), worse=0.004, better=0.002),
    }
    search = SearchFigures(seconds=1, measured=6, resumed=0, ruled_out=0, complete=True)
    asked = Requirements(quality_drop=0.01)
    return decide(weighing([REFERENCE, FAST]), found, asked, Price(), search=search, version="0", created="now")


@pytest.fixture
def artefacts(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "built"
    (folder / "weights").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"a model")
    (folder / "weights" / "w.bin").write_bytes(b"its weights")
    return {"int8": folder}


def test_what_is_written_is_read_again(plan: Plan, artefacts: dict[str, Path], tmp_path: Path) -> None:
    written = write_bundle(plan, "<html>", artefacts, tmp_path / "out")
    read = read_bundle(tmp_path / "out")
    assert read.plan == written.plan
    assert set(read.plan.artefacts["int8"]) == {"model.onnx", "weights/w.bin"}
    assert (read.artefact("int8") / "weights" / "w.bin").read_bytes() == b"its weights"
    assert msgspec.structs.replace(read.plan, artefacts={}) == plan
    with pytest.raises(BundleError, match="no variant 'bf16'"):
        read.artefact("bf16")


def test_an_older_bundle_is_replaced_whole(plan: Plan, artefacts: dict[str, Path], tmp_path: Path) -> None:
    write_bundle(plan, "old", artefacts, tmp_path / "out")
    (tmp_path / "out" / "artefacts" / "left over").write_text("x")
    write_bundle(plan, "new", artefacts, tmp_path / "out")
    assert (tmp_path / "out" / "report.html").read_text() == "new"
    assert not (tmp_path / "out" / "artefacts" / "left over").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["built", "out"], "nothing is left beside it"


@pytest.mark.parametrize("at", ["copyfile", "write_text"])
def test_a_full_disk_leaves_the_old_bundle(
    plan: Plan, artefacts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    write_bundle(plan, "old", artefacts, tmp_path / "out")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil if at == "copyfile" else Path, at, full)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(plan, "new", artefacts, tmp_path / "out")
    monkeypatch.undo()
    assert (tmp_path / "out" / "report.html").read_text() == "old"
    read_bundle(tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["built", "out"]


def test_a_failed_swap_puts_the_old_one_back(
    plan: Plan, artefacts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_bundle(plan, "old", artefacts, out)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target == out and (self / "plan.json").exists() and "-old-" not in str(self):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BundleError, match="Input/output"):
        write_bundle(plan, "new", artefacts, out)
    monkeypatch.undo()
    assert (out / "report.html").read_text() == "old"


def test_another_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="will not be overwritten"):
        check_place(tmp_path)
    with pytest.raises(BundleError, match="not a folder"):
        check_place(tmp_path / "notes.txt")
    check_place(tmp_path / "new")


def test_what_was_changed_is_named(plan: Plan, artefacts: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_bundle(plan, "x", artefacts, out)
    model = out / "artefacts" / "int8" / "model.onnx"
    model.write_bytes(b"another model")
    with pytest.raises(BundleError, match="its hash has changed"):
        read_bundle(out)
    model.unlink()
    with pytest.raises(BundleError, match="is missing"):
        read_bundle(out)
    model.symlink_to(artefacts["int8"] / "model.onnx")
    with pytest.raises(BundleError, match="outside the bundle"):
        read_bundle(out)


def test_what_may_not_be_read_is_told(plan: Plan, artefacts: dict[str, Path]) -> None:
    with tempfile.TemporaryDirectory() as place:  # whose parents everybody may enter
        out = Path(place) / "out"
        write_bundle(plan, "x", artefacts, out)
        Path(place).chmod(0o755)
        model = out / "artefacts" / "int8" / "model.onnx"
        model.chmod(0)
        with unprivileged(), pytest.raises(BundleError, match=r"int8/model\.onnx cannot be read: Permission denied"):
            read_bundle(out)
        Path(place).chmod(0o700)
        with unprivileged(), pytest.raises(BundleError, match=r"out cannot be read: Permission denied"):
            read_bundle(out)


def test_a_plan_that_points_outside_is_refused(plan: Plan, artefacts: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_bundle(plan, "x", artefacts, out)
    secret = tmp_path / "secret"
    secret.write_text("s")
    text = (out / "plan.json").read_text().replace("model.onnx", "../../../secret")
    (out / "plan.json").write_text(text)
    with pytest.raises(BundleError, match="outside the bundle"):
        read_bundle(out)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not a plan"),
        ("{}", "schema None"),
        ('{"schema": "steelyard.plan/1"}', "not a plan"),
        ("[" * 100_000, "not a plan"),
        ('{"schema": "steelyard.plan/2"}', "steelyard.plan/2"),
    ],
)
def test_a_plan_that_cannot_be_read(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(BundleError, match=words):
        read_plan(tmp_path)


def test_a_plan_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_PLAN", 10)
    (tmp_path / "plan.json").write_text("x" * 11)
    with pytest.raises(BundleError, match="too large"):
        read_plan(tmp_path)
