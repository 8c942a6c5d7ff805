"""What a part knows of another is found and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made_examples import columns, pictures, series, texts
from steelyard import datasets
from steelyard.datasets.examples import Examples
from steelyard.preparation.leakage import find_leaks
from steelyard.preparation.splits import Parts, split


def parts(training: Examples, test: Examples, validation: Examples | None = None) -> Parts:
    return Parts(training, training.take([]) if validation is None else validation, test)


def told(found: Parts, near: float = 0.02) -> dict[str, str]:
    return {leak.kind: leak.told for leak in find_leaks(found, near)}


def test_equal_items() -> None:
    data = pictures(20)
    leaks = find_leaks(parts(data.take(range(12)), data.take([13, 3, 14, 5])))
    assert [leak.kind for leak in leaks] == ["equal"]
    assert leaks[0].items.tolist() == [1, 3]
    assert leaks[0].told == "test: 2 of 4 items (50.0%) are equal to items of training"
    assert told(parts(data.take(range(12)), data.take(range(12, 20)))) == {}


def test_each_pair_of_parts_is_looked_at() -> None:
    data = pictures(20)
    leaks = find_leaks(Parts(data.take(range(5)), data.take([0, 10]), data.take([0, 10, 11])))
    assert [(leak.part, leak.items.tolist()) for leak in leaks] == [
        ("validation", [0]),
        ("test", [0]),
        ("test", [0, 1]),
    ]


def test_near_equal_pictures() -> None:
    data = pictures(30)
    other = pictures(4, seed=9)
    other.inputs["image"][2] = np.clip(data.inputs["image"][7].astype(int) + 1, 0, 255)
    assert told(parts(data, other)) == {"near": "test: 1 of 4 items (25.0%) are nearly equal to items of training"}
    assert told(parts(data, other), near=0) == {}
    other.inputs["image"][2] = np.clip(data.inputs["image"][7].astype(int) + 30, 0, 255)
    assert told(parts(data, other)) == {}


def test_none_that_is_near_is_missed() -> None:
    """Against comparing all with all."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200, 12))
    b[::3] = a[rng.integers(0, 200, 67)] + rng.normal(scale=0.02, size=(67, 12))
    one, other = (columns(**{f"x{n}": column for n, column in enumerate(values.T)}) for values in (a, b))
    both = np.concatenate([a, b]).astype(np.float32).astype(np.float64)
    both = (both - both.mean(axis=0)) / both.std(axis=0)
    common = np.sqrt(2) * np.median(np.linalg.norm(both, axis=1))
    distances = np.linalg.norm(both[None, :200] - both[200:, None], axis=2).min(axis=1)
    for share in (0.01, 0.02, 0.1):
        (leak,) = find_leaks(parts(one, other), near=share)
        assert leak.items.tolist() == np.flatnonzero(distances <= share * common).tolist()


def test_rows_of_a_table_are_near_only_with_the_same_words() -> None:
    rng = np.random.default_rng(0)
    size = rng.normal(size=40)
    one = columns(size=size, town=["oslo", "rome"] * 20)
    near = columns(size=size[:4] + 1e-4, town=["oslo", "rome", "rome", "oslo"])
    (leak,) = find_leaks(parts(one, near))
    assert (leak.kind, leak.items.tolist()) == ("near", [0, 1])


def test_texts_that_sound_the_same() -> None:
    one, other = texts("Where is my card?", "what"), texts("where is MY card", "where is my money")
    assert told(parts(one, other)) == {"near": "test: 1 of 2 items (50.0%) are nearly equal to items of training"}
    assert told(parts(texts("a b", "c"), texts("ab", "d"))) == {}


def test_sequences_and_columns_of_words_alone() -> None:
    data = series((5, 5, 5, 5))
    assert list(told(parts(data.take([0, 1]), data.take([1, 2])))) == ["equal"]
    assert told(parts(columns(a=["x", "y"]), columns(a=["z", "w"]))) == {}


def test_groups_and_times_on_both_sides() -> None:
    data = replace(pictures(10), groups=np.array([*"aabbccddee"]), times=np.arange(10))
    found = told(parts(data.take([0, 1, 2, 4, 8]), data.take([3, 6, 9])))
    assert found["group"] == "test: 2 of 3 items (66.7%) are of groups that are in training, too"
    assert found["time"] == "test: 2 of 3 items (66.7%) are from times of training"
    assert told(split(replace(data, groups=None), "time")) == {}


def test_a_column_that_says_the_target() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 400)
    noise = rng.normal(size=400)
    data = columns(age=noise, paid_back=3.0 + targets, state=[("late", "fine")[n] for n in targets], targets=targets)
    found = [leak.told for leak in find_leaks(split(data, "random")) if leak.kind == "target"]
    assert found == [
        "the column 'paid_back' alone says the target (right on 100% of other items): is it known when the model is "
        "asked?",
        "the column 'state' alone says the target (right on 100% of other items): is it known when the model is asked?",
    ]


def test_a_measured_target_in_other_units() -> None:
    rng = np.random.default_rng(0)
    euros = rng.normal(100, 10, 50).astype(np.float32)
    data = columns(dollars=euros * 1.1, area=rng.normal(size=50), same=np.ones(50), targets=euros)
    leaks = [leak.told for leak in find_leaks(split(data, "random")) if leak.kind == "target"]
    assert leaks == [
        "the column 'dollars' alone says the target (correlation 1.0000): is it known when the model is asked?"
    ]


def test_a_rare_class_makes_no_column_suspect() -> None:
    """Whatever a column says, saying the commonest class is right on nearly all items."""
    targets = np.zeros(1000, int)
    targets[:2] = 1
    data = columns(a=np.arange(1000.0), targets=targets)
    assert [leak for leak in find_leaks(split(data, "random")) if leak.kind == "target"] == []


def test_real_leaks(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes of one room drawn at random know their neighbours; split by time far fewer do."""
    monkeypatch.setenv("STEELYARD_DATA", str(mirror))
    room = datasets.load("occupancy")
    at_random, by_time = (
        sum(len(leak.items) for leak in find_leaks(split(room, kind)) if leak.kind in ("equal", "near"))
        for kind in ("random", "time")
    )
    assert at_random > 10 * by_time
