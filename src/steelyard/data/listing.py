"""Which pictures there are and what their labels are: class folders, or a CSV manifest."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.data.files import plain_name
from steelyard.data.items import Labels
from steelyard.data.labels import labels_of_column, labels_of_words
from steelyard.data.match import LABEL_NAMES
from steelyard.errors import DataError
from steelyard.records.data import DataSpec

FILE_NAMES = ("file", "filename", "file_name", "path", "filepath", "image", "image_path")
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
MOST_MANIFEST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Listing:
    """Pictures by relative name, in a fixed order, and their labels."""

    names: tuple[str, ...]
    labels: Labels | None
    told: tuple[str, ...] = ()


def class_folders(root: Path) -> list[str]:
    """The folders in `root` that can be classes, sorted by name; hidden ones and links are not."""
    with os.scandir(root) as entries:
        return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))


def list_class_folders(root: Path, folders: Sequence[str], spec: DataSpec) -> Listing:
    """Every picture in a class folder, folders inside it included. Raises DataError when there is none."""
    names: list[str] = []
    words: list[str] = []
    ignored = {"links": 0, "files that are no pictures": 0}
    for folder in folders:
        for name in _pictures(root, folder, ignored):
            names.append(name)
            words.append(folder)
    if not names:
        raise DataError(
            f"no pictures in the folders of {root} ({', '.join(folders[:5])})", f"pictures end in {', '.join(SUFFIXES)}"
        )
    classes = spec.classes or tuple(folders)
    labels = labels_of_words(words, _with_classes(spec, classes), str(root), guess_classes=False)
    told = [f"{what} ignored: {count}" for what, count in ignored.items() if count]
    return Listing(tuple(names), labels, (*_told_order(spec, folders), *told))


def _with_classes(spec: DataSpec, classes: tuple[str, ...]) -> DataSpec:
    return DataSpec(source=spec.source, classes=classes, label_offset=spec.label_offset)


def _told_order(spec: DataSpec, folders: Sequence[str]) -> tuple[str, ...]:
    if spec.classes:
        return ()
    if all(name.isdecimal() for name in folders) and list(folders) != sorted(folders, key=int):
        return (
            f"classes follow the folders by name, not by number: {', '.join(folders[:4])} … (set classes to change it)",
        )
    return (f"classes are the {len(folders)} folders, sorted by name",)


def _pictures(root: Path, folder: str, ignored: dict[str, int]) -> list[str]:
    found = []
    for parent, inner, files in os.walk(root / folder, followlinks=False):
        ignored["links"] += sum(Path(parent, name).is_symlink() for name in inner)
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in files:
            if name.startswith("."):
                continue
            path = Path(parent, name)
            if path.is_symlink():
                ignored["links"] += 1
            elif path.suffix.lower() not in SUFFIXES:
                ignored["files that are no pictures"] += 1
            else:
                found.append(path.relative_to(root).as_posix())
    return sorted(found)


def list_manifest(raw: bytes, spec: DataSpec, where: str, *, measured: bool = False) -> Listing:
    """One picture per row of a CSV with a header. Raises DataError when columns are missing or names point outside."""
    header, rows = _table(raw, where)
    file_column = _column(header, None, FILE_NAMES)
    if file_column is None:
        raise DataError(
            f"{where} has no column of file names; its columns are {', '.join(header)}",
            f"call it one of {', '.join(FILE_NAMES)}",
        )
    label_column = _column(header, spec.labels, LABEL_NAMES)
    if label_column is None and spec.labels is not None:
        raise DataError(f"{where} has no column {spec.labels!r}; its columns are {', '.join(header)}")
    names = tuple(plain_name(_cell(row, file_column), f"{where}, row {n}") for n, row in enumerate(rows, 2))
    if label_column is None:
        return Listing(names, None)
    column = f"the column {header[label_column]!r} of {where}"
    return Listing(names, labels_of_column([_cell(row, label_column) for row in rows], spec, column, measured=measured))


def _table(raw: bytes, where: str) -> tuple[list[str], list[list[str]]]:
    try:
        text = raw.decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except UnicodeDecodeError:
        raise DataError(f"{where} is not UTF-8 text", "save the CSV as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{where} is not a readable CSV: {error}") from None
    if len(rows) < 2:
        raise DataError(f"{where} has {len(rows)} rows", "expected a header (file, label) and one row per picture")
    return [cell.strip() for cell in rows[0]], rows[1:]


def _column(header: Sequence[str], named: str | None, tried: Sequence[str]) -> int | None:
    if named is not None:
        return header.index(named) if named in header else None
    lower = [cell.lower() for cell in header]
    return next((lower.index(name) for name in tried if name in lower), None)


def _cell(row: Sequence[str], column: int) -> str:
    return row[column].strip() if column < len(row) else ""
