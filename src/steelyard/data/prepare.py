"""Prepare validation data: read, clean, shuffle, split, write. Called in a child process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from steelyard.data.clean import Cleaned, clean
from steelyard.data.items import Source
from steelyard.data.labels import check_counting
from steelyard.data.sources import open_source, told_no_labels
from steelyard.data.split import Drawn, draw, draw_calibration
from steelyard.data.wanted import Wanted
from steelyard.data.write import hash_of, write_items, write_labels
from steelyard.errors import DataError
from steelyard.records.data import ArrayFile, DataSpec, Prepared
from steelyard.records.model import TensorInfo


def prepare(argument: Mapping[str, Any]) -> Prepared:
    """Fill the empty folder `into` with the prepared data, as told in `Prepared`.

    `argument`: `spec` (DataSpec), `inputs` (the model's inputs, TensorInfo each), both as plain values; `into`
    (str); `outputs_classes` (int or None, may be left out): how many classes the model tells apart; `measured`
    (may be left out): labels are measured values. Resident memory stays bounded whatever the size of the data,
    unless a user's function returns it whole; of a table the columns that are used are held. The caller makes it
    atomic, by renaming the folder. Raises DataError when the data cannot be used.
    """
    spec = msgspec.convert(argument["spec"], DataSpec)
    inputs = msgspec.convert(argument["inputs"], tuple[TensorInfo, ...])
    if spec.limit is not None and spec.limit < 1:
        raise DataError(f"limit is {spec.limit}, expected at least 1 item", "leave limit out to use all items")
    if not inputs:
        raise DataError("the model has no inputs: there is nothing to prepare")
    into = Path(argument["into"])
    scratch = into / ".scratch"
    scratch.mkdir()
    try:
        wanted = Wanted(spec, inputs, scratch, argument.get("measured", False))
        return _prepared(wanted, into, argument.get("outputs_classes"))
    except OSError as error:
        raise DataError(f"cannot read the data: {error.strerror} ({error.filename or spec.source})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _prepared(wanted: Wanted, into: Path, classes: int | None) -> Prepared:
    with ExitStack() as stack:
        source = open_source(wanted, stack)
        if source.labels is not None and classes is not None:
            check_counting(source.labels, classes, wanted.spec.label_offset)
        kept = wanted.spec.duplicates == "keep"
        cleaned = clean(source.items, source.labels, classes, duplicates=kept)
        set_aside = source.calibration is not None
        drawn = draw(cleaned.kept, wanted.spec.seed, wanted.spec.limit, set_aside=set_aside)
        return _written(wanted.spec, source, cleaned, drawn, into)


def _written(spec: DataSpec, source: Source, cleaned: Cleaned, drawn: Drawn, into: Path) -> Prepared:
    judging, judging_hashes = write_items(source.items, drawn.judge, into, "judging")
    told: tuple[str, ...] = ()
    calibrating, numbers = source.items, drawn.calibrate
    if source.calibration is not None:
        calibrating = source.calibration
        numbers, told = draw_calibration(calibrating, cleaned.digests[drawn.judge], spec.seed)
    calibration, calibration_hashes = write_items(calibrating, numbers, into, "calibration")
    labels, labels_hash = (None, "") if source.labels is None else write_labels(source.labels.codes[drawn.judge], into)
    names = source.labels.classes if source.labels is not None else spec.classes
    hashes = (sorted(judging), judging_hashes, calibration_hashes, labels_hash, len(numbers), drawn.select, names)
    return Prepared(
        folder=str(into),
        source=spec.source,
        sha256=hash_of(hashes),
        calibration=calibration,
        judging=judging,
        labels=labels,
        items_calibrate=len(numbers),
        items_select=drawn.select,
        items_confirm=drawn.confirm,
        pad=_pads(spec, judging),
        classes=names,
        told=(*_told(spec, source, cleaned, told), *told_lengths(into, judging)),
    )


def _pads(spec: DataSpec, judging: Mapping[str, ArrayFile]) -> bool:
    """Whether items of different length may be filled up: a model with a mask is made for it."""
    if all(array.lengths is None for array in judging.values()):
        return False
    return any("mask" in name.lower() for name in judging) if spec.padding is None else spec.padding


def told_lengths(into: Path, arrays: Mapping[str, ArrayFile]) -> tuple[str, ...]:
    """How long the items are, inputs of equal lengths told together."""
    told: dict[str, list[str]] = {}
    for name, array in arrays.items():
        if array.lengths is not None:
            lengths = np.load(into / array.lengths, allow_pickle=False)
            words = f"{lengths.min()} to {lengths.max()} steps, half of them at most {int(np.median(lengths))}"
            told.setdefault(words, []).append(name)
    return tuple(f"items of different length: {words} ({', '.join(names)})" for words, names in told.items())


def _told(spec: DataSpec, source: Source, cleaned: Cleaned, calibration: tuple[str, ...]) -> tuple[str, ...]:
    labels = (told_no_labels(spec),) if source.labels is None else source.labels.told
    return (*source.told, *labels, *cleaned.told, *calibration)
