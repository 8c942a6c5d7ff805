"""What cannot be learnt from is an error that says where, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from steelyard.datasets.checking import check, check_ready
from steelyard.datasets.examples import Examples
from steelyard.errors import DataError

IMAGES = np.zeros((4, 5, 6, 1), np.uint8)
SEQUENCES = np.zeros((4, 5, 2), np.float32)
TWO = np.array([0, 1, 0, 1])
NAN = np.array([1, np.nan, 2, 3], np.float32)


def images(image: Any = IMAGES, targets: Any = TWO, classes: Any = ("a", "b")) -> Examples:
    return Examples("images", {"image": image}, targets, classes)


def sequences(sequence: Any = SEQUENCES, **more: Any) -> Examples:
    return Examples("sequences", {"sequence": sequence, **more}, TWO, ("a", "b"))


def columns(**given: Any) -> Examples:
    return Examples("table", given, TWO, ("a", "b"))


@pytest.mark.parametrize(
    "sound",
    [
        images(),
        images(IMAGES.astype(np.float32)),
        sequences(length=np.array([1, 5, 2, 3])),
        columns(a=NAN, b=np.array(["x", None, "y", "x"], object), c=np.arange(4)),
        Examples("text", {"text": np.array(["a", "b", "c", None], object)}, TWO, ("a", "b")),
        Examples("table", {"a": np.arange(4)}, np.ones((4, 3), np.float32)),
    ],
    ids=repr,
)
def test_sound_data_pass(sound: Examples) -> None:
    check(sound, "data")


@pytest.mark.parametrize(
    ("broken", "said", "hint"),
    [
        (images(IMAGES[:0], TWO[:0]), "data has 0 items", "give more items"),
        (images(IMAGES[:1], TWO[:1]), "data has 1 items; at least 2", "give more items"),
        (images(targets=np.array([0, 0, 1, 1]), classes=("a", "b", "c")), "the class 'c' has no items", "leave it out"),
        (images(classes=("a",), targets=TWO * 0), "1 classes; at least 2", "name the classes"),
        (images(targets=TWO + 1), r"2 class numbers lie outside of 0 to 1 .* is 2 of item 1", "count from one"),
        (images(targets=TWO - 1), r"the first is -1 of item 0", "is it the right column"),
        (images(targets=np.eye(2)[TWO].astype(int)), r"targets are int64 \[4, 2\]", "argmax"),
        (images(targets=TWO.astype(str)), "targets are str.*expected class numbers", "argmax"),
        (images(targets=TWO.astype(np.float32)), r"measured values \(float\), but 2 classes", "astype"),
        (images(targets=NAN, classes=()), r"1 targets are missing or infinite, the first is that of item 1", "leave"),
        (images(IMAGES[..., 0]), r"pictures are \[4, 5, 6\]", r"image\[..., None\]"),
        (images(IMAGES.reshape(4, 1, 5, 6).repeat(4, 3)), r"pictures are \[4, 1, 5, 24\]", "channels go last"),
        (images(IMAGES[:, :0]), r"pictures are \[4, 0, 6, 1\]", "grey"),
        (images(IMAGES.astype(np.int64)), "pictures are int64, expected uint8", "0 to 255"),
        (images(np.where(IMAGES == 0, np.inf, 0).astype(np.float32)), "'image' is infinite in 4 items", "zero"),
        (sequences(SEQUENCES[..., 0]), r"sequences are float32 \[4, 5\]", r"sequence\[..., None\]"),
        (sequences(length=np.array([1, 6, 2, 3])), "lengths run from 1 to 6, expected 1 to 5", "leave out"),
        (sequences(length=np.array([1, 0, 2, 3])), "lengths run from 0 to 3", "leave out"),
        (columns(a=NAN, b=NAN * np.nan), "the column 'b' has no values at all", "leave it out"),
        (columns(a=NAN * np.float32(np.inf)), "'a' is infinite in 3 items, the first is item 0", "divided by zero"),
        (columns(a=np.array(["x", 3, "y", "x"], object)), "the column 'a' holds a int in item 1", "None is a missing"),
        (columns(a=np.arange(4).astype("M8[s]")), "the column 'a' is datetime64", ""),
        (Examples("text", {"words": TWO}, TWO, ("a", "b")), "has no input 'text', only words", "lie under 'text'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_data_are_told(broken: Examples, said: str, hint: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        check(broken, "data")
    assert hint.replace("\\", "") in caught.value.hint


def test_what_goes_into_a_network_has_no_gaps() -> None:
    check_ready(columns(a=np.arange(4)), "training")
    with pytest.raises(DataError, match=r"training: 'a' has 1 items with missing .* is item 1") as caught:
        check_ready(columns(a=NAN), "training")
    assert "the step `missing`" in caught.value.hint
    with pytest.raises(DataError, match="the column 'a' holds words") as caught:
        check_ready(columns(a=np.array(list("abcd"), object)), "training")
    assert "one-hot" in caught.value.hint
