"""Splits: no item in two parts, every kind keeps what it promises, and a seed means the same parts for good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import datasets
from steelyard.datasets.examples import Examples
from steelyard.errors import DataError, UsageError
from steelyard.preparation.splits import Parts, split

PINNED = {
    "random": [[7, 15], [5, 11, 12, 19]],
    "stratified": [[2, 5], [8, 11, 12, 19]],
    "group": [[30, 31, 32, 33, 34, 35, 36, 37, 38, 39], [10, 11, 12, 13, 14, 20, 21, 22, 23, 24]],
}


def numbered(count: int, classes: int = 2, measured: bool = False) -> Examples:
    """Items that hold their own number."""
    targets = np.linspace(0, 1, count, dtype=np.float32) if measured else np.arange(count) % classes
    names = () if measured else tuple(f"c{n}" for n in range(classes))
    return Examples(
        "table",
        {"n": np.arange(count)},
        targets,
        names,
        groups=np.arange(count) // 5,
        times=np.arange(count)[::-1] // 2,
    )


def rows(parts: Parts) -> list[list[int]]:
    return [part.inputs["n"].tolist() for part in parts.named.values()]


@settings(deadline=None, max_examples=80)
@given(
    kind=st.sampled_from(["stratified", "random", "group", "time"]),
    count=st.integers(30, 200),
    shares=st.sampled_from([(0.1, 0.2), (0.0, 0.5), (0.3, 0.0), (0.05, 0.05), (0.0, 0.0)]),
    seed=st.integers(-5, 2**64),
)
def test_every_item_is_in_one_part(kind: str, count: int, shares: tuple[float, float], seed: int) -> None:
    parts = split(numbered(count), kind, *shares, seed=seed)  # type: ignore[arg-type]
    assert sorted(number for part in rows(parts) for number in part) == list(range(count))
    wanted = {"training": 1 - sum(shares), "validation": shares[0], "test": shares[1]}
    for name, part in parts.named.items():
        assert (len(part) > 0) == (wanted[name] > 0)
        most = 10 if kind == "group" else 2  # groups have five items each
        assert abs(len(part) - wanted[name] * count) <= most
    again = split(numbered(count), kind, *shares, seed=seed)  # type: ignore[arg-type]
    assert rows(again) == rows(parts)


def test_stratified_keeps_the_classes_shares() -> None:
    data = numbered(1000, classes=4)
    data.targets[:] = np.repeat([0, 1, 2, 3], [700, 200, 90, 10])
    parts = split(data, "stratified", 0.1, 0.2, seed=3)
    assert np.bincount(parts.test.targets).tolist() == [140, 40, 18, 2]
    assert np.bincount(parts.validation.targets).tolist() == [70, 20, 9, 1]


def test_a_class_too_small_for_all_parts() -> None:
    data = numbered(100, classes=3)
    data.targets[:] = [0] * 50 + [1] * 48 + [2] * 2
    with pytest.raises(DataError, match="the class 'c2' has 2 items, 3 are needed: one for each part") as caught:
        split(data, "stratified")
    assert 'split = "random"' in caught.value.hint
    data.targets[:] = [0] * 50 + [1] * 50
    with pytest.raises(DataError, match="the class 'c2' has 0 items"):
        split(data, "stratified")
    with pytest.raises(DataError, match="measured values have no classes"):
        split(numbered(50, measured=True), "stratified")


def test_groups_stay_together() -> None:
    parts = split(numbered(100), "group", seed=1)
    groups = [{number // 5 for number in part} for part in rows(parts)]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert [len(part) for part in rows(parts)] == [70, 10, 20]


def test_groups_of_very_different_size_leave_no_part_empty() -> None:
    uneven = replace(numbered(100), groups=np.repeat(["a", "b", "c"], [98, 1, 1]))
    for seed in range(20):
        assert all(rows(split(uneven, "group", seed=seed)))


def test_time_trains_on_what_was_before() -> None:
    parts = split(numbered(100), "time")
    assert parts.training.times is not None
    assert parts.validation.times is not None
    assert parts.test.times is not None
    assert parts.training.times.max() < parts.validation.times.min()
    assert parts.validation.times.max() < parts.test.times.min()
    assert [len(part) for part in rows(parts)] == [70, 10, 20]


def test_what_cannot_be_split_so() -> None:
    plain = replace(numbered(20), groups=None, times=None)
    with pytest.raises(DataError, match="there are no groups") as caught:
        split(plain, "group")
    assert "group" in caught.value.hint
    with pytest.raises(DataError, match="there are no times"):
        split(plain, "time")
    with pytest.raises(DataError, match="no parts given by their makers"):
        split(plain, "given")
    with pytest.raises(DataError, match="there are 2 groups for 3 parts"):
        split(replace(plain, groups=np.arange(20) % 2), "group")
    with pytest.raises(DataError, match="some items have no time"):
        split(replace(plain, times=np.array(["2025-01-01", "NaT"] * 10, "M8[s]")), "time")
    with pytest.raises(DataError, match="2 different times, fewer than parts"):
        split(replace(plain, times=np.arange(20) % 2), "time")
    with pytest.raises(DataError, match="2 items leave none for"):
        split(numbered(2), "random")
    with pytest.raises(UsageError, match="leave nothing to train on"):
        split(plain, "random", 0.5, 0.5)
    with pytest.raises(UsageError, match="no split is called 'folds'"):
        split(plain, "folds")  # type: ignore[arg-type]


def test_given_parts_stay_and_what_lacks_is_drawn_from_training() -> None:
    data = replace(numbered(100), groups=None, parts=np.repeat(np.array([0, 2], np.int8), [80, 20]))
    parts = split(data, "given", 0.1, 0.2)
    assert parts.test.inputs["n"].tolist() == list(range(80, 100))
    assert len(parts.validation) == 10
    assert "validation drawn from the training items that were given" in parts.told
    whole = split(replace(data, parts=np.repeat(np.array([0, 1, 2], np.int8), [50, 30, 20])), "given")
    assert [len(part) for part in rows(whole)] == [50, 30, 20]
    assert len(split(data, "given", validation=0.0).validation) == 0
    grouped = split(replace(data, groups=np.arange(100) // 5), "given")
    inner = {number // 5 for number in grouped.validation.inputs["n"].tolist()}
    assert not inner & {number // 5 for number in grouped.training.inputs["n"].tolist()}
    with pytest.raises(UsageError, match="would take all of the training items"):
        split(data, "given", validation=0.8, test=0.1)


def test_a_seed_means_these_items_for_good() -> None:
    """Pinned: results that were published with a seed must come again."""
    assert rows(split(numbered(20), "random", 0.1, 0.2, seed=0))[1:] == PINNED["random"]
    assert rows(split(numbered(20), "stratified", 0.1, 0.2, seed=0))[1:] == PINNED["stratified"]
    assert rows(split(numbered(40), "group", 0.2, 0.2, seed=0))[1:] == PINNED["group"]


def test_real_parts(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_DATA", str(mirror))
    parts = split(datasets.load("mnist"), "given", validation=5000 / 70_000, seed=0)
    assert {name: len(part) for name, part in parts.named.items()} == {
        "training": 55_000,
        "validation": 5_000,
        "test": 10_000,
    }
    people = split(datasets.load("har-watch"), "group", validation=0.2, seed=0)
    assert {len(set(np.asarray(part.groups).tolist())) for part in people.named.values()} == {2, 6}
