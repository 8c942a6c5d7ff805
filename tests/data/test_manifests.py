from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from steelyard.data import files
from steelyard.errors import DataError
from steelyard.records.data import Preprocess
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]
RGB = TensorInfo(name="pixels", dtype="uint8", shape=(None, 3, 4, 4))


def png(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def first_pixel(seed: int) -> list[int]:
    return [int(v) for v in np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)[0, 0]]


def labels_by_seed(outcome: Any) -> dict[int, int]:
    """Which label each picture has, by the seed that drew it."""
    seeds = {tuple(first_pixel(seed)): seed for seed in range(20)}
    return {seeds[tuple(item[:, 0, 0])]: int(label) for item, label in zip(outcome.x, outcome.labels, strict=True)}


def manifest(rows: list[tuple[str, object]], header: str = "file,label") -> str:
    return "\n".join([header, *(f"{name},{label}" for name, label in rows)]) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures in `pictures/sub`, no manifest."""
    (tmp_path / "pictures" / "sub").mkdir(parents=True)
    for seed in range(10):
        (tmp_path / "pictures" / "sub" / f"{seed}.png").write_bytes(png(seed))
    return tmp_path / "pictures"


@pytest.fixture
def packed(tmp_path: Path) -> Callable[..., Path]:
    """`packed(rows of its manifest or None, more members)` → a .zip of ten pictures."""

    def pack(inside: str | None, more: dict[str, bytes] | None = None) -> Path:
        path = tmp_path / "pictures.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for seed in range(10):
                archive.writestr(f"sub/{seed}.png", png(seed))
            if inside is not None:
                archive.writestr("list.csv", inside)
            for name, data in (more or {}).items():
                archive.writestr(name, data)
        return path

    return pack


def rows(count: int = 10) -> list[tuple[str, object]]:
    return [(f"sub/{seed}.png", seed % 3) for seed in range(count)]


def test_folder_with_a_named_manifest(prepared: Prepare, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(manifest(rows()))
    outcome = prepared(folder, RGB, outputs=3, manifest=str(tmp_path / "list.csv"))
    found = labels_by_seed(outcome)
    assert found == {seed: seed % 3 for seed in found}
    assert len(outcome.x) == 9


@pytest.mark.parametrize("header", ["file,label", "Filename,Class", "path,y", "image,target"])
def test_the_only_csv_in_a_folder_is_its_manifest(prepared: Prepare, folder: Path, header: str) -> None:
    (folder / "anything.csv").write_text(manifest(rows(), header))
    found = labels_by_seed(prepared(folder, RGB))
    assert found == {seed: seed % 3 for seed in found}


def test_zip_with_the_manifest_inside_beside_and_named(
    prepared: Prepare, packed: Callable[..., Path], tmp_path: Path
) -> None:
    assert len(prepared(packed(manifest(rows())), RGB).x) == 9
    path = packed(None)
    with pytest.raises(DataError, match="the manifest is missing: looked for a CSV inside or beside the archive"):
        prepared(path, RGB)
    (tmp_path / "labels.csv").write_text(manifest(rows(8)))
    assert len(prepared(path, RGB).x) == 7
    (tmp_path / "pictures.csv").write_text(manifest(rows(6)))
    assert len(prepared(path, RGB).x) == 5
    (tmp_path / "other.csv").write_text(manifest(rows(4)))
    assert len(prepared(path, RGB, manifest="other.csv").x) == 3
    with pytest.raises(DataError, match=r"looked for none\.csv"):
        prepared(path, RGB, manifest="none.csv")
    two = packed(manifest(rows()), {"second.csv": manifest(rows(5)).encode(), "._list.csv": b"\0"})
    assert len(prepared(two, RGB, manifest="second.csv").x) == 4


def test_words_become_classes(prepared: Prepare, folder: Path) -> None:
    named = [(name, ["dog", "cat", "owl"][int(str(label))]) for name, label in rows()]
    (folder / "list.csv").write_text(manifest([*named[:9], (named[9][0], "")]))
    outcome = prepared(folder, RGB)
    assert outcome.prepared.classes == ("cat", "dog", "owl")
    assert outcome.told == (
        "classes are the words that occur, sorted: cat, dog, owl",
        "1 item left out: the label is missing (sub/9.png)",
    )
    given = prepared(folder, RGB, classes=("dog", "cat"))
    found = labels_by_seed(given)
    assert found == {seed: seed % 3 for seed in found}
    assert "3 items left out: the label is not among the classes" in given.told[1]


def test_classes_may_be_called_by_numbers(prepared: Prepare, folder: Path) -> None:
    (folder / "list.csv").write_text(manifest([(name, 7 + int(str(label))) for name, label in rows()]))
    found = labels_by_seed(prepared(folder, RGB, classes=("9", "8", "7")))
    assert found == {seed: 2 - seed % 3 for seed in found}


def test_columns_that_are_not_there(prepared: Prepare, folder: Path) -> None:
    (folder / "list.csv").write_text(manifest(rows(), "what,label"))
    with pytest.raises(DataError, match="has no column of file names; its columns are what, label"):
        prepared(folder, RGB)
    (folder / "list.csv").write_text(manifest(rows(), "file,kind"))
    with pytest.raises(DataError, match="has no column 'sort'; its columns are file, kind"):
        prepared(folder, RGB, labels="sort")
    assert len(prepared(folder, RGB, labels="kind").labels) == 9
    assert prepared(folder, RGB).labels is None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "has 0 rows"),
        (b"file,label\n", "has 1 rows"),
        (b"file,label\n\xff\xfe,1\n", "not UTF-8"),
        (b'file,label\n"' + b"x" * 200_000 + b'",1\n', "not a readable CSV"),
    ],
)
def test_manifests_that_are_none(prepared: Prepare, folder: Path, raw: bytes, message: str) -> None:
    (folder / "list.csv").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        prepared(folder, RGB)


def test_other_separators_and_a_byte_order_mark(prepared: Prepare, folder: Path) -> None:
    (folder / "list.csv").write_bytes(b"\xef\xbb\xbf" + manifest(rows()).replace(",", ";").encode())
    assert len(prepared(folder, RGB).x) == 9


def test_missing_files_links_and_short_rows_are_counted(prepared: Prepare, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(png(15))
    (folder / "sub" / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "linked").symlink_to(folder / "sub")
    more: list[tuple[str, object]] = [("none.png", 0), ("sub/link.png", 1), ("linked/1.png", 1), ("sub", 1)]
    (folder / "list.csv").write_text(manifest([*rows(), *more]) + "./sub/0.png\n")
    assert prepared(folder, RGB).told == (
        "1 item left out: the label is missing (sub/0.png)",
        "1 item left out: the file is missing (none.png)",
        "3 items left out: a link or no regular file (sub/link.png, linked/1.png, sub)",
    )


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "sub/../../x.png", "c:/x.png", "..\\x.png"])
def test_names_that_point_outside(prepared: Prepare, folder: Path, packed: Callable[..., Path], name: str) -> None:
    listed = manifest([*rows(), (name, 1)])
    (folder / "list.csv").write_text(listed)
    for source in (folder, packed(listed)):
        with pytest.raises(DataError, match=r"row 12 names .* outside"):
            prepared(source, RGB)


def test_zip_members_that_are_no_files_or_damaged(
    prepared: Prepare, packed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = packed(manifest([*rows(), ("link.png", 0), ("large.png", 0)]), {"large.png": png(11) + b"\0" * 5000})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
        place = archive.getinfo("sub/4.png").header_offset + 60
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0xFF
    path.write_bytes(raw)
    monkeypatch.setattr(files, "MOST_FILE_BYTES", 5000)
    assert prepared(path, RGB).told == (
        "1 item left out: the archive is damaged here (sub/4.png)",
        "1 item left out: the file is missing (link.png)",
        "1 item left out: the file is larger than 64 MiB (large.png)",
    )


def test_one_file_listed_twice_with_two_labels(prepared: Prepare, folder: Path) -> None:
    (folder / "list.csv").write_text(manifest([*rows(), ("sub/3.png", 2), ("sub/4.png", 1)]))
    assert prepared(folder, RGB).told == (
        "2 items left out: exact duplicates of each other whose labels differ (sub/3.png, sub/3.png)",
        "1 item left out: exact duplicates of an item that is kept (sub/4.png)",
    )


def test_names_are_told_without_control_characters(prepared: Prepare, folder: Path) -> None:
    (folder / "list.csv").write_text(manifest([*rows(), ("a\x1b[31m.png", 1)]))
    assert prepared(folder, RGB).told == ("1 item left out: the file is missing (a?[31m.png)",)


def test_a_folder_of_nothing(prepared: Prepare, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither class folders nor a CSV manifest") as caught:
        prepared(tmp_path / "empty", RGB, preprocess=Preprocess())
    assert "manifest" in caught.value.hint
