"""Arrays in a .npz become items: the array that is left beside targets, groups, times and parts is the input."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from steelyard.data.archives import opened_archive
from steelyard.data.arrays import MemoryArray, NpzTable
from steelyard.data.labels import labels_of_array
from steelyard.data.match import LENGTHS
from steelyard.datasets.examples import Array, Examples, Kind
from steelyard.datasets.own import OwnData, existing, parts_of, target_name, targets_of, times_of
from steelyard.errors import DataError
from steelyard.records.data import DataSpec


def read_arrays(own: OwnData, path: Path) -> Examples:
    """The items of the .npz at `path`. Raises DataError when it is damaged, or it is not told which array is what."""
    arrays = _unpacked(path)
    target = target_name(own, list(arrays), str(path))
    where = f"the array {target!r} of {path}"
    spec = DataSpec(source=own.source, classes=own.classes or _words_in(arrays[target]))
    targets, classes = targets_of(
        labels_of_array(MemoryArray(arrays[target]), spec, where, measured=own.measured), own, where
    )
    kind, inputs = _inputs(own, arrays, target, str(path))
    groups, times, parts = (_named(own, arrays, purpose, str(path)) for purpose in ("group", "time", "part"))
    return Examples(
        kind,
        inputs,
        targets,
        classes,
        groups=groups,
        times=None if times is None else _times(times, str(path)),
        parts=None if parts is None else parts_of([str(part) for part in parts.tolist()], str(path)),
    )


def _unpacked(path: Path) -> dict[str, Array]:
    with tempfile.TemporaryDirectory(prefix="steelyard-") as scratch, opened_archive(path) as archive:
        table = NpzTable(archive, str(path), Path(scratch))
        return {
            name: table.open(name).rows(np.arange(header.items, dtype=np.int64))
            for name, header in table.headers.items()
            if header.shape
        }


def _words_in(values: Array) -> tuple[str, ...]:
    return tuple(str(word) for word in np.unique(values) if word) if values.dtype.kind == "U" else ()


def _named(own: OwnData, arrays: dict[str, Array], purpose: str, where: str) -> Array | None:
    """The array that `own` names for this, or the one that is called so."""
    name = getattr(own, purpose)
    if name is not None:
        return arrays[existing(name, list(arrays), purpose, where)]
    return arrays.get(f"{purpose}s")


def _times(times: Array, where: str) -> Array:
    return times if times.dtype.kind in "iufM" else times_of([str(time) for time in times.tolist()], where)


def _inputs(own: OwnData, arrays: dict[str, Array], target: str, where: str) -> tuple[Kind, dict[str, Array]]:
    used = {target, own.group, own.time, own.part, "groups", "times", "parts", LENGTHS, "length"}
    chosen = list(own.columns) or ([own.text] if own.text else [name for name in arrays if name not in used])
    for name in chosen:
        existing(name, list(arrays), "columns", where)
    if len(chosen) == 1:
        return _of_one(arrays, chosen[0], where)
    flat = [name for name in chosen if arrays[name].ndim == 1]
    if not chosen or len(flat) != len(chosen):
        raise DataError(
            f"{where}: which array is to be learnt from? there are {', '.join(chosen) or 'none beside the targets'}",
            'name it: columns = ["…"]; several must be columns of a table, [items] each',
        )
    return "table", {name: _column(arrays[name]) for name in flat}


def _of_one(arrays: dict[str, Array], name: str, where: str) -> tuple[Kind, dict[str, Array]]:
    values = arrays[name]
    if values.dtype.kind == "U" and values.ndim == 1:
        return "text", {"text": _column(values)}
    if values.dtype == np.uint8 and values.ndim in (3, 4):
        return "images", {"image": values[..., None] if values.ndim == 3 else values}
    if values.dtype.kind == "f" and values.ndim == 4:
        return "images", {"image": values.astype(np.float32)}
    if values.dtype.kind in "fiu" and values.ndim == 3:
        lengths = next((arrays[told] for told in (LENGTHS, "length") if told in arrays), None)
        told = {} if lengths is None else {"length": lengths.astype(np.int64)}
        return "sequences", {"sequence": values.astype(np.float32), **told}
    if values.dtype.kind in "fiub" and values.ndim in (1, 2):
        columns = values.reshape(len(values), -1).T
        return "table", {f"{name}{place}": _column(column) for place, column in enumerate(columns)}
    raise DataError(
        f"{where}: {name!r} is {values.dtype.name} {list(values.shape)}, which is no kind of data",
        "pictures are uint8 [items, height, width, channels], sequences float32 [items, steps, channels], tables "
        "[items, columns], texts words [items]",
    )


def _column(values: Array) -> Array:
    if values.dtype.kind == "U":
        return np.array([str(word) or None for word in values], object)
    return values.astype(np.float32 if values.dtype.kind == "f" else np.int64)
