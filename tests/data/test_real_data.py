"""The real ones: a thousand pictures in a .zip with a CSV beside it, sequences in a .npz."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from steelyard.data.rows import read_rows
from steelyard.errors import DataError
from steelyard.records.data import DataSpec, Prepared, Preprocess
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]
EFFICIENTNET = TensorInfo(name="input", dtype="float32", shape=(None, 3, 224, 224))
LSTM = TensorInfo(name="x", dtype="float32", shape=(None, 64, 32))
PIXELS = Preprocess(resize=(224, 224), interpolation="bicubic", mean=(127,), std=(128,))


def expected_pictures(folder: Path, count: int) -> dict[int, Any]:
    """Class → the first pictures, prepared in one line of plain Pillow and numpy."""
    with zipfile.ZipFile(folder / "images.zip") as archive, (folder / "labels.csv").open() as rows:
        listed = list(csv.DictReader(rows))[:count]
        return {
            int(row["class"]): (
                np.asarray(
                    Image.open(io.BytesIO(archive.read(row["file"])))
                    .convert("RGB")
                    .resize((224, 224), Image.Resampling.BICUBIC),
                    np.float32,
                ).transpose(2, 0, 1)
                - 127
            )
            / 128
            for row in listed
        }


def test_pictures_are_what_plain_code_makes_of_them(prepared: Prepare, mirror: Path, tmp_path: Path) -> None:
    folder = mirror / "imagenet1000"
    few = (folder / "labels.csv").read_text().splitlines()[:13]
    (tmp_path / "few.csv").write_text("\n".join(few))
    outcome = prepared(
        folder / "images.zip", EFFICIENTNET, outputs=1000, manifest=str(tmp_path / "few.csv"), preprocess=PIXELS
    )
    expected = expected_pictures(folder, 12)
    assert len(outcome.x) == 11
    for item, label in zip(outcome.x, outcome.labels, strict=True):
        assert np.array_equal(item, expected[int(label)])


def test_a_thousand_pictures_in_bounded_memory(mirror: Path, tmp_path: Path) -> None:
    spec = DataSpec(source=str(mirror / "imagenet1000" / "images.zip"), preprocess=PIXELS)
    argument = {"spec": spec, "inputs": [EFFICIENTNET], "into": str(tmp_path), "outputs_classes": 1000}
    # Linux hands the parent's peak on to `ru_maxrss` of a new process; VmHWM counts from its own start.
    script = """
import json, pathlib, resource, sys, msgspec
from steelyard.data.prepare import prepare
found = prepare(json.loads(sys.argv[1]))
status = pathlib.Path("/proc/self/status")
if status.exists():
    peak = int(status.read_text().partition("VmHWM:")[2].split()[0])
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps([peak, msgspec.to_builtins(found)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, msgspec.json.encode(argument).decode()], capture_output=True, check=True
    )
    peak_kib, plain = json.loads(done.stdout)
    found = msgspec.convert(plain, Prepared)
    assert peak_kib < 300 * 1024
    assert (found.items_calibrate, found.items_select, found.items_confirm) == (100, 90, 810)
    assert found.labels is not None
    labels = read_rows(tmp_path / found.labels.file, 0, 850)
    assert len(set(labels.tolist())) == 850
    expected = expected_pictures(mirror / "imagenet1000", 3)
    for number in np.flatnonzero(labels < 3):
        row = read_rows(tmp_path / found.judging["input"].file, int(number), int(number) + 1)
        assert np.array_equal(row[0], expected[int(labels[number])])


def test_sequences_with_their_own_calibration(prepared: Prepare, models: Path) -> None:
    path = models / "lstm_10class.npz"
    outcome = prepared(path, LSTM, outputs=10, inputs={"x": "ev"}, labels="y", calibration="cal")
    record = outcome.prepared
    assert (record.items_calibrate, record.items_select, record.items_confirm) == (128, 51, 461)
    assert outcome.told == ()
    with np.load(path, allow_pickle=False) as stored:
        labels = {row.tobytes(): int(label) for row, label in zip(stored["ev"], stored["y"], strict=True)}
        aside = {row.tobytes() for row in stored["cal"]}
    assert [labels[row.tobytes()] for row in outcome.x] == outcome.labels.tolist()
    assert {row.tobytes() for row in outcome.calibration["x"]} == aside
    assert outcome.x.tolist() == prepared(path, LSTM, outputs=10, calibration="cal").x.tolist()


def test_sequences_whose_calibration_was_not_named(prepared: Prepare, models: Path) -> None:
    info = TensorInfo(name="sequence", dtype="float32", shape=(None, 64, 32))
    with pytest.raises(DataError, match="2 arrays could be it: cal"):
        prepared(models / "lstm_10class.npz", info)


def test_pictures_of_a_hospital(prepared: Prepare, mirror: Path) -> None:
    settings = {"inputs": {"x": "test_images"}, "labels": "test_labels", "preprocess": Preprocess(scale=1 / 255)}
    path = mirror / "pneumoniamnist" / "pneumonia28.npz"
    flat = TensorInfo(name="x", dtype="float32", shape=(None, 28, 28))
    outcome = prepared(path, flat, outputs=2, **settings)
    assert len(outcome.x) + len(outcome.calibration["x"]) == 621
    assert outcome.told == ("3 items left out: exact duplicates of an item that is kept",)
    assert 0 < outcome.labels.mean() < 1
    with pytest.raises(DataError, match="one item of the array 'test_images'") as caught:
        prepared(path, TensorInfo(name="x", dtype="float32", shape=(None, 1, 28, 28)), **settings)
    assert "np.expand_dims(x, 1)" in caught.value.hint
