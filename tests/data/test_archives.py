from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.data import archives
from steelyard.errors import DataError
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]


def test_objects_in_an_npz_are_never_loaded(prepared: Prepare, tmp_path: Path, features: TensorInfo) -> None:
    path = tmp_path / "o.npz"
    np.savez(path, allow_pickle=True, x=np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match=r"the array 'x' holds Python objects \(a pickle\)") as caught:
        prepared(path, features)
    assert "np.savez" in caught.value.hint


def test_no_zip_a_cut_one_and_a_changed_one(prepared: Prepare, tmp_path: Path, features: TensorInfo) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(b"no zip at all")
    with pytest.raises(DataError, match="not a complete zip"):
        prepared(path, features)
    np.savez(path, x=np.random.default_rng(0).normal(size=(3000, 4)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a complete zip"):
        prepared(path, features)
    path.write_bytes(whole[:50000] + bytes([whole[50000] ^ 1]) + whole[50001:])
    with pytest.raises(DataError, match="the array 'x' is damaged: Bad CRC"):
        prepared(path, features)


def test_members_that_lie_about_their_size(prepared: Prepare, tmp_path: Path, features: TensorInfo) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 4)))
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", (tmp_path / "x.npy").read_bytes()[:-8])
    with pytest.raises(DataError, match="has 280 bytes where its header says 288"):
        prepared(tmp_path / "d.npz", features)


@pytest.mark.parametrize("name", ["folder/x.npy", "../x.npy", "/x.npy", "a\\x.npy", "c:/x.npy"])
def test_member_names_with_paths(prepared: Prepare, tmp_path: Path, features: TensorInfo, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr(name, b"")
    with pytest.raises(DataError, match=r"not a plain array name|points out of the archive"):
        prepared(tmp_path / "d.npz", features)


def test_encrypted_and_oddly_compressed_members(prepared: Prepare, tmp_path: Path, features: TensorInfo) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.zeros((5, 4)))
    raw = bytearray(path.read_bytes())
    central = raw.rindex(b"PK\x01\x02")
    raw[central + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="is encrypted") as caught:
        prepared(path, features)
    assert "without a password" in caught.value.hint
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", b"0" * 100)
    with pytest.raises(DataError, match="neither stored nor deflated"):
        prepared(path, features)


def test_an_archive_without_arrays(prepared: Prepare, tmp_path: Path, features: TensorInfo) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("readme.txt", b"hello")
    with pytest.raises(DataError, match="holds no arrays"):
        prepared(tmp_path / "d.npz", features)


def test_bombs(prepared: Prepare, tmp_path: Path, features: TensorInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.zeros((20000, 4)), y=np.zeros(20000))
    with pytest.raises(DataError, match="more than half of the items"):  # small, however well it shrinks: read
        prepared(path, features)
    monkeypatch.setattr(archives, "FREE_RATIO_BYTES", 1000)
    with pytest.raises(DataError, match="looks like a zip bomb"):
        prepared(path, features)
    monkeypatch.setattr(archives, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match=r"unpacks to .* bytes, at most 1000"):
        prepared(path, features)
    monkeypatch.setattr(archives, "MOST_MEMBERS", 1)
    with pytest.raises(DataError, match="holds 2 members, at most 1"):
        prepared(path, features)
