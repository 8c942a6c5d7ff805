"""A user's own arrays, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from steelyard.datasets.examples import Examples
from steelyard.datasets.own import OwnData, read
from steelyard.errors import DataError

Save = Callable[..., str]
FOUR = np.array([0, 1, 1, 0])


@pytest.fixture
def arrays(tmp_path: Path) -> Save:
    def save(**given: Any) -> str:
        np.savez(tmp_path / "data.npz", **given)
        return str(tmp_path / "data.npz")

    return save


@pytest.fixture
def csv(tmp_path: Path) -> Save:
    def save(*lines: str) -> str:
        (tmp_path / "data.csv").write_text("\n".join(lines))
        return str(tmp_path / "data.csv")

    return save


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name, grey in (("cat", 10), ("dog", 200)):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.fromarray(np.full((6, 8), grey + number, np.uint8)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def own(source: str | Path, **more: Any) -> Examples:
    return read(OwnData(source=str(source), **more))


def test_arrays_say_by_their_shape_what_they_are(arrays: Save) -> None:
    grey = own(arrays(x=np.ones((4, 5, 6), np.uint8), y=FOUR))
    assert (grey.kind, grey.inputs["image"].shape) == ("images", (4, 5, 6, 1))
    series = own(arrays(x=np.ones((4, 5, 2)), lengths=np.array([5, 4, 3, 2]), labels=FOUR))
    assert series.kind == "sequences"
    assert series.inputs["length"].tolist() == [5, 4, 3, 2]
    flat = own(arrays(x=np.arange(8.0).reshape(4, 2), target=np.array([0.5, 1, 2, 3])))
    assert (flat.kind, list(flat.inputs), flat.classes) == ("table", ["x0", "x1"], ())
    words = own(arrays(text=np.array(["a", "b", "c", "d"]), labels=np.array(["no", "yes", "yes", "no"])))
    assert (words.kind, words.classes, words.targets.tolist()) == ("text", ("no", "yes"), [0, 1, 1, 0])
    several = own(arrays(age=np.arange(4), town=np.array(list("abca")), y=FOUR, groups=FOUR, times=np.arange(4)))
    assert list(several.inputs) == ["age", "town"]
    assert several.groups is not None
    assert several.times is not None


def test_arrays_that_tell_too_little_are_an_error(arrays: Save, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="what is to be learnt\\? there are x, z") as caught:
        own(arrays(x=np.ones((4, 2)), z=FOUR))
    assert "target" in caught.value.hint
    with pytest.raises(DataError, match="which array is to be learnt from"):
        own(arrays(x=np.ones((4, 2)), z=np.ones((4, 2)), y=FOUR))
    with pytest.raises(DataError, match="has no 'w' for `target`"):
        own(arrays(x=np.ones((4, 2)), y=FOUR), target="w")
    with pytest.raises(DataError, match="pickle"):
        own(arrays(x=np.array([None, 1, 2, 3], object), y=FOUR))
    with pytest.raises(DataError, match="1 of 4 targets are missing, the first is that of item 2"):
        own(arrays(x=np.ones((4, 2)), y=np.array([0, 1, np.nan, 1])))
    (tmp_path / "cut.npz").write_bytes(Path(arrays(x=np.ones((4, 2)), y=FOUR)).read_bytes()[:-30])
    with pytest.raises(DataError, match="not a complete zip"):
        own(tmp_path / "cut.npz")


def test_a_table(csv: Save) -> None:
    lines = [
        "age,income,town,who,when,moved,use",
        "31,1.5,oslo,a,2025-01-03,yes,training",
        "40,,rome,a,2025-01-02,no,test",
    ]
    found = own(csv(*lines), target="moved", group="who", time="when", part="use")
    assert found.classes == ("no", "yes")
    assert found.targets.tolist() == [1, 0]
    assert list(found.inputs) == ["age", "income", "town"]
    assert found.inputs["age"].dtype == np.int64
    assert np.isnan(found.inputs["income"][1])
    assert found.inputs["town"].tolist() == ["oslo", "rome"]
    assert found.groups is not None
    assert found.times is not None
    assert found.parts is not None
    assert found.groups.tolist() == ["a", "a"]
    assert found.times[0] > found.times[1]
    assert found.parts.tolist() == [0, 2]
    fewer = own(csv(*lines), target="moved", columns=("town",))
    assert list(fewer.inputs) == ["town"]


def test_a_table_of_text_and_one_of_measured_values(csv: Save) -> None:
    found = own(csv("id,question,label", "1,where is it?,lost", "2,what is that,fee", "3,,fee"), text="question")
    assert found.kind == "text"
    assert found.inputs["text"].tolist() == ["where is it?", "what is that", None]
    assert found.classes == ("fee", "lost")
    prices = own(csv("size,price", "1,100", "2,220", "3,300"), target="price", measured=True)
    assert prices.targets.dtype == np.float32
    assert prices.classes == ()


def test_whole_numbers_are_classes_in_their_order(csv: Save) -> None:
    found = own(csv("x,label", "0.1,3", "0.2,1", "0.3,2", "0.4,3"))
    assert found.classes == ("1", "2", "3")
    assert found.targets.tolist() == [2, 0, 1, 2]
    named = own(csv("x,label", "0.1,b", "0.2,a"), classes=("b", "a"))
    assert named.targets.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("lines", "settings", "said"),
    [
        (("x,label", "1,a", "2,b", "3,"), {}, "1 of 3 targets are missing, the first is that of item 2"),
        (("x,label", "1,a", "2,c"), {"classes": ("a", "b")}, "1 of 2 targets are not among the classes"),
        (("x,label", "1,0", "2,0"), {"classes": ("a", "b")}, "the class 'b' has no items"),
        (("x,label", "1,1", "2,2"), {"classes": ("a", "b")}, "lie outside of 0 to 1"),
        (("x,label", "1,a", "2,a"), {}, "1 classes; at least 2"),
        (("x,label", "1,a"), {}, "has 1 items"),
        (("x,label",), {}, "has no rows"),
        (("x,label", "1,a", "2,b"), {"columns": ("z",)}, "has no 'z' for `columns`"),
        (("x,label", "1,a", "2,b"), {"columns": ("label",)}, "names the target"),
        (("x,w,label", "1,p,a", "2,,b"), {"group": "w"}, r"the column 'w' \(`group`\) is empty in item 1"),
        (("x,w,label", "1,p,a", "2,q,b"), {"part": "w"}, "the column 'w' holds 'p'"),
        (("x,w,label", "1,p,a", "2,q,b"), {"time": "w"}, "holds a time that is none"),
        (("x,w,label", "1,[1],a", "2,[2],b"), {}, "holds neither numbers nor words"),
        (("x,w,label", "1,,a", "2,,b"), {}, "the column 'w' has no values at all"),
        (("x,label", *(f"{n},{n * 7}" for n in range(1001))), {}, "too many for classes"),
    ],
)
def test_a_table_that_cannot_be_learnt_from(csv: Save, lines: Any, settings: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        own(csv(*lines), **settings)


def test_pictures_in_class_folders(pictures: Path) -> None:
    found = own(pictures, colour="gray")
    assert found.inputs["image"].shape == (6, 6, 8, 1)
    assert found.classes == ("cat", "dog")
    assert found.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.inputs["image"][4].max() == 201
    assert own(pictures, resize=4).inputs["image"].shape == (6, 4, 4, 3)


def test_pictures_of_different_sizes(pictures: Path) -> None:
    Image.fromarray(np.zeros((4, 8), np.uint8)).save(pictures / "dog" / "9.png")
    with pytest.raises(DataError, match=r"pictures differ in size: dog/9.png is 4 × 8, cat/0.png 6 × 8") as caught:
        own(pictures)
    assert "resize = [6, 8]" in caught.value.hint
    assert own(pictures, resize=(6, 8)).inputs["image"].shape == (7, 6, 8, 3)
    assert own(pictures, resize=4).inputs["image"].shape == (7, 4, 4, 3)


def test_pictures_that_cannot_be_read(pictures: Path) -> None:
    (pictures / "cat" / "1.png").write_bytes((pictures / "cat" / "0.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"1 of 6 pictures in .* cat/1.png \(cannot be decoded") as caught:
        own(pictures)
    assert 'unreadable = "drop"' in caught.value.hint
    assert own(pictures, unreadable="drop").targets.tolist() == [0, 0, 1, 1, 1]
    for number in (0, 2):
        (pictures / "cat" / f"{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match="the class 'cat' has no items"):
        own(pictures, unreadable="drop")


def test_folders_without_pictures(pictures: Path, tmp_path: Path) -> None:
    (pictures / "bird").mkdir()
    with pytest.raises(DataError, match="the class 'bird' has no items"):
        own(pictures)
    with pytest.raises(DataError, match="holds 0 class folders"):
        own(pictures / "cat")


def test_a_source_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file or folder nowhere\.csv"):
        own("nowhere.csv")
    (tmp_path / "x.xlsx").write_text("")
    with pytest.raises(DataError, match=r"is not a \.npz, a table"):
        own(tmp_path / "x.xlsx")
