"""Checkpoints: what is written is what is read; half of one is never taken for a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from steelyard.errors import DataError
from steelyard.train import checkpoint

STATE = {
    "network": {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)},
    "optimiser": {"state": {0: {"step": torch.tensor(1.0), "m": torch.ones(2)}}, "groups": [{"betas": (0.9, 0.99)}]},
    "course": {"epoch": 2, "stopped": "", "losses": [0.5, 0.25]},
    "average": None,
}


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "c", STATE)
    found = checkpoint.read(tmp_path / "c")
    assert torch.equal(found["network"]["weight"], STATE["network"]["weight"])  # type: ignore[index]
    assert found["network"]["count"].shape == ()
    assert list(found["optimiser"]["state"]) == [0]
    assert found["optimiser"]["groups"][0]["betas"] == (0.9, 0.99)
    assert found["course"] == STATE["course"]
    assert found["average"] is None


def test_tensors_that_share_memory_are_written_each(tmp_path: Path) -> None:
    shared = torch.zeros(4)
    checkpoint.write(tmp_path / "c", {"a": shared, "b": shared[:2]})
    assert checkpoint.read(tmp_path / "c")["b"].shape == (2,)


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\xff" * 64])
def test_a_damaged_file_is_told(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "c").write_bytes(damage)
    with pytest.raises(DataError, match="is damaged"):
        checkpoint.read(tmp_path / "c")


def test_a_file_cut_short_is_told(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "c", STATE)
    whole = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(whole[:-5])
    with pytest.raises(DataError, match="is damaged"):
        checkpoint.read(tmp_path / "c")


def test_when_it_cannot_be_written_the_one_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.write(tmp_path / "c", STATE)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        checkpoint.write(tmp_path / "c", {"course": 3})
    assert checkpoint.read(tmp_path / "c")["course"] == STATE["course"]
    assert [each.name for each in tmp_path.iterdir()] == ["c"]
