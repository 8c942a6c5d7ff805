from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steelyard.data.items import ItemKind, Rows
from steelyard.data.room import room
from steelyard.data.write import file_names, write_items
from steelyard.errors import DataError
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("x.npy", "np.savez('data.npz', x=np.load('x.npy')"),
        ("x.json", "lines=True"),
        ("x.feather", "to_parquet"),
        ("x.pth", "pickles are never loaded"),
        ("x.tar", ".zip"),
        ("x.PNG", "the folder that holds"),
        ("x.gz", "np.savez"),
        ("x.unheard", "np.savez"),
    ],
)
def test_near_misses_say_what_to_do(
    prepared: Prepare, tmp_path: Path, features: TensorInfo, name: str, hint: str
) -> None:
    (tmp_path / name).write_bytes(b"hello")
    with pytest.raises(DataError, match=r"is not a .npz, a table .* package.module:function") as caught:
        prepared(tmp_path / name, features)
    assert hint in caught.value.hint


@pytest.mark.parametrize("source", ["nowhere.npz", "no/where", "a b:c", "mod:fn:x", ""])
def test_nothing_there(prepared: Prepare, features: TensorInfo, source: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepared(source or str(tmp_path / "none"), features)
    assert "there is no file or folder" in caught.value.message
    assert "package.module:function" in caught.value.hint


def test_a_full_disk_tells_the_bytes(
    prepared: Prepare, tmp_path: Path, features: TensorInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(100, 4)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3000))
    with pytest.raises(DataError, match="3200 bytes are needed, 3000 are free"):
        prepared(tmp_path / "d.npz", features)


def test_a_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(DataError, match="17 bytes are needed"), room(tmp_path, 17):
        full.write_bytes(b"0" * 17)


def test_other_faults_of_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"), room(tmp_path, 17):
        raise OSError(errno.EIO, "Input/output error")


class Vanishing:
    """Two items that were there when they were looked at, and no longer are."""

    count = 2
    kinds = {"x": ItemKind(np.dtype(np.float32), (3,))}
    names = ()

    def read(self, numbers: NDArray[np.int64]) -> Rows:
        return Rows({"x": np.zeros((len(numbers), 3), np.float32)}, {0: "the file is missing"})


def test_data_that_changes_while_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="changed while it was read"):
        write_items(Vanishing(), np.arange(2), tmp_path, "judging")


def test_inputs_become_plain_file_names() -> None:
    assert file_names(["a/b:0", "x"]) == {"a/b:0": "a_b_0", "x": "x"}
    assert file_names(["a/b", "a:b", "../X"]) == {"a/b": "0_a_b", "a:b": "1_a_b", "../X": "2____X"}
    assert file_names(["X", "x"]) == {"X": "0_X", "x": "1_x"}
    assert file_names([""]) == {"": "_"}
