"""The data sets themselves: as many items of each class, of the shapes, with the values that they are known to have."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard import datasets
from steelyard.datasets import har_watch, mnist, pneumoniamnist
from steelyard.datasets.examples import Array, Examples, counted_classes
from steelyard.errors import DataError


@pytest.fixture
def mirrored(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEELYARD_DATA", str(mirror))
    return mirror


def sizes(examples: Examples) -> list[int]:
    assert examples.parts is not None
    return [int((examples.parts == part).sum()) for part in range(3)]


def test_mnist(mirrored: Path) -> None:
    found = datasets.load("mnist")
    assert found.inputs["image"].shape == (70_000, 28, 28, 1)
    assert found.inputs["image"].dtype == np.uint8
    assert sizes(found) == [60_000, 0, 10_000]
    assert found.classes == tuple("0123456789")
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(found.targets[:60_000]).tolist() == counts  # as told on the original page's statistics
    assert found.targets[:5].tolist() == [5, 0, 4, 1, 9]


def test_mnists_contents_are_those_that_everybody_has(mirrored: Path) -> None:
    """sha256 of the unpacked files: whoever packed them, this is MNIST."""
    known = {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    for name, digest in known.items():
        raw = gzip.decompress((mirrored / "mnist" / f"{name}.gz").read_bytes())
        assert hashlib.sha256(raw).hexdigest() == digest


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"nonsense", "not a whole gzip file"),
        (gzip.compress(b"", mtime=0)[:-4], "not a whole gzip file"),
        (gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 5) + b"1234", mtime=0), r"header says \[5\], 4 values follow"),
        (gzip.compress(b"\0\0\x0d\1\0\0\0\1\0\0\0\0", mtime=0), "no IDX file of bytes"),
        (gzip.compress(b"\0", mtime=0), "no IDX file of bytes"),
    ],
)
def test_a_damaged_idx_file_is_told(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "x.gz").write_bytes(raw)
    with pytest.raises(DataError, match=said):
        mnist.idx(tmp_path / "x.gz")


def test_pneumoniamnist(mirrored: Path) -> None:
    found = datasets.load("pneumoniamnist")
    assert found.inputs["image"].shape == (5856, 28, 28, 1)
    assert sizes(found) == [4708, 524, 624]
    assert counted_classes(found) == {"normal": 1583, "pneumonia": 4273}


def test_pneumoniamnist_is_the_same_however_it_was_shuffled(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 28, 28)).astype(np.uint8), rng.integers(0, 2, 30).astype(np.uint8)
    found = [
        pneumoniamnist.read({"x": saved(tmp_path / "x.npz", images, labels, order)})
        for order in (np.arange(30), rng.permutation(30))
    ]
    assert np.array_equal(found[0].inputs["image"], found[1].inputs["image"])
    assert np.array_equal(found[0].targets, found[1].targets)


def saved(path: Path, images: Array, labels: Array, order: Array) -> Path:
    """As MedMNIST saves its parts, the items to train on in this order."""
    arrays: dict[str, Any] = {"train_images": images[order], "train_labels": labels[order][:, None]}
    for part in ("val", "test"):
        arrays |= {f"{part}_images": images, f"{part}_labels": labels[:, None]}
    np.savez(path, **arrays)
    return path


def test_banking77(mirrored: Path) -> None:
    found = datasets.load("banking77")
    assert sizes(found) == [10_003, 0, 3_080]
    assert len(found.classes) == 77
    assert np.bincount(found.targets[10_003:]).tolist() == [40] * 77
    assert found.inputs["text"][0] == "I am still waiting on my card?"
    assert found.classes[found.targets[0]] == "card_arrival"


def test_credit_default(mirrored: Path) -> None:
    found = datasets.load("credit-default")
    assert len(found) == 24_000
    assert len(found.inputs) == 23
    assert counted_classes(found) == {"paid": 18_694, "default": 5_306}
    assert found.inputs["LIMIT_BAL"][:2].tolist() == [20_000, 90_000]
    assert found.inputs["AGE"].dtype == np.int64
    assert set(found.inputs["SEX"]) == {"male", "female"}
    assert found.inputs["EDUCATION"][0] == "university"
    assert found.parts is None


def test_occupancy(mirrored: Path) -> None:
    found = datasets.load("occupancy")
    assert sizes(found) == [8143, 2665, 9752]
    assert counted_classes(found) == {"empty": 15_810, "occupied": 4_750}
    assert found.times is not None
    assert str(found.times[0]) == "2015-02-04T17:51:00"
    assert found.inputs["Temperature"][0] == pytest.approx(23.18)


def test_har_watch(mirrored: Path) -> None:
    found = datasets.load("har-watch")
    assert found.inputs["sequence"].shape == (140, 2618, 6)
    assert found.inputs["length"].sum() == 244_102
    assert counted_classes(found) == dict.fromkeys(har_watch.CLASSES, 20)
    assert found.groups is not None
    assert sorted(set(found.groups.tolist())) == list(range(1, 11))
    filling = np.arange(2618) >= found.inputs["length"][:, None]
    assert not found.inputs["sequence"][filling].any()
    assert found.inputs["sequence"][0, 0].tolist() == np.array(
        [-1.084, -0.01862, -0.02727, 0.4114, -1.604, -2.488], np.float16
    ).astype(np.float32).tolist()  # fmt: skip


def listed(texts: list[str]) -> bytes:
    """A pickle that would do nothing but say these texts."""
    said = b"".join(b"X" + struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    return b"\x80\x02" + said + b"."


def test_har_watch_out_of_the_package_that_publishes_it(tmp_path: Path) -> None:
    """Numbers are taken out of the pickle's texts, column by column; nothing of it is run."""
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(int(steps), 6)) for steps in rng.integers(5, 9, 140)]
    classes, people = rng.integers(0, 7, 140), rng.integers(1, 11, 140)
    raw = [*(s.T.tobytes() for s in sequences), classes.astype("<i8").tobytes(), people.astype("<i8").tobytes()]
    wheel = tmp_path / "seglearn-1.2.5-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        program = listed(["X", *(part.decode("latin1") for part in raw), "X_labels"])
        archive.writestr("seglearn/data/watch_dataset.npy", b"\x93NUMPY".ljust(128) + program)
    found = har_watch.read({wheel.name: wheel})
    assert found.inputs["length"].tolist() == [len(s) for s in sequences]
    assert found.targets.tolist() == classes.tolist()
    assert found.groups is not None
    assert found.groups.tolist() == people.tolist()
    length = len(sequences[3])
    assert np.array_equal(found.inputs["sequence"][3, :length], sequences[3].astype(np.float16))
