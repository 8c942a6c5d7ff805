from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.data.rows import FileArray, read_header, read_rows
from steelyard.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(60, dtype=np.float32).reshape(10, 2, 3))
    return path


def test_reads_just_these_rows(file: Path) -> None:
    rows = read_rows(file, 3, 5)
    assert rows.tolist() == np.load(file)[3:5].tolist()
    assert rows.dtype == np.float32
    assert read_rows(file, 4, 4).shape == (0, 2, 3)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (5, 4), (0, 11)])
def test_rows_outside_are_refused(file: Path, start: int, stop: int) -> None:
    with pytest.raises(DataError, match="holds 10 rows, asked for rows"):
        read_rows(file, start, stop)


def test_rows_by_number_come_in_the_order_asked(file: Path) -> None:
    numbers = np.array([7, 8, 9, 0, 3, 2])
    assert FileArray.of(file).rows(numbers).tolist() == np.load(file)[numbers].tolist()
    assert FileArray.of(file).rows(numbers[:0]).shape == (0, 2, 3)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_header_that_does_not_fit_the_size_is_refused(file: Path, change: int) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[:change] if change < 0 else raw + b"\0")
    with pytest.raises(DataError, match="is damaged: its header says 368 bytes"):
        read_rows(file, 0, 1)


def test_python_objects_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "o.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        read_rows(path, 0, 1)


def test_what_has_no_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.npy"
    np.save(path, np.asfortranarray(np.ones((3, 4))))
    with pytest.raises(DataError, match="Fortran order"):
        read_rows(path, 0, 1)
    np.save(path, np.float32(3))
    with pytest.raises(DataError, match="single number"):
        read_rows(path, 0, 1)
    np.save(path, np.zeros(3, dtype=[("a", "f4")]))
    with pytest.raises(DataError, match="records"):
        read_rows(path, 0, 1)


def test_no_file_and_no_array(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_rows(tmp_path / "none.npy", 0, 1)
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(DataError, match=r"not a readable \.npy"):
        read_rows(tmp_path / "text.npy", 0, 1)


@given(place=st.integers(0, 127), byte=st.integers(0, 255), cut=st.integers(0, 128))
def test_a_damaged_header_is_a_data_error(place: int, byte: int, cut: int) -> None:
    out = io.BytesIO()
    np.save(out, np.zeros((2, 3), np.float32))
    raw = bytearray(out.getvalue())
    raw[place] = byte
    for damaged in (bytes(raw), bytes(raw[:cut])):
        try:
            header = read_header(io.BytesIO(damaged), "it")
        except DataError:
            continue
        assert header.dtype.kind != "O"
