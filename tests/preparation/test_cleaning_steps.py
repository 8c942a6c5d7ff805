"""Missing values, wild values, copies, doubtful labels."""

from __future__ import annotations

import numpy as np
import pytest

from made_examples import columns, pictures, series, texts
from steelyard.datasets.examples import Examples
from steelyard.errors import DataError
from steelyard.preparation.duplicates import Duplicates
from steelyard.preparation.missing import Missing
from steelyard.preparation.noise import Noise
from steelyard.preparation.outliers import Outliers


def test_gaps_are_filled_with_what_is_usual() -> None:
    data = columns(a=[1.0, 2.0, 30.0, np.nan], town=["oslo", None, "oslo", "rome"], n=[1, 2, 3, 4])
    filled = Missing().fit(data)
    assert filled.told == "missing values filled in: a in 1 items (2.00), town in 1 items (missing)"
    done = filled.apply(data)
    assert done.inputs["a"].tolist() == [1, 2, 30, 2]
    assert done.inputs["town"].tolist() == ["oslo", "missing", "oslo", "rome"]
    assert done.inputs["n"].tolist() == [1, 2, 3, 4]
    assert Missing(numbers="mean").fit(data).apply(data).inputs["a"].tolist() == [1, 2, 30, 11]
    assert Missing(numbers="zero", words="?").fit(data).apply(data).inputs["town"][1] == "?"
    assert Missing().fit(columns(a=[1.0, 2.0])).told == ""


def test_gaps_in_sequences_are_filled_channel_by_channel() -> None:
    data = series()
    usual = np.median(np.concatenate([item[:n] for item, n in zip(*data.inputs.values(), strict=True)]), axis=0)
    data.inputs["sequence"][1, 2, 1] = np.nan
    done = Missing().fit(data).apply(data).inputs["sequence"]
    assert done[1, 2, 1] == pytest.approx(usual[1], abs=0.6)
    assert done[1, 2, 0] == data.inputs["sequence"][1, 2, 0]
    assert not done[0, 3:].any()


def test_a_column_of_gaps_is_an_error() -> None:
    with pytest.raises(DataError, match="'a' has no values at all in the training items"):
        Missing().fit(columns(a=[np.nan, np.nan], b=[1.0, 2.0]))


def test_wild_values_are_held_at_tukeys_limits() -> None:
    values = [*np.arange(1.0, 21.0), 500.0, -300.0]
    bounded = Outliers().fit(columns(a=values))
    first, third = np.quantile(values, [0.25, 0.75])
    done = bounded.apply(columns(a=values)).inputs["a"]
    assert done[20] == pytest.approx(third + 3 * (third - first))
    assert done[21] == pytest.approx(first - 3 * (third - first))
    assert done[:20].tolist() == values[:20]
    assert bounded.told == "wild values held at the limit: a in 2 items"
    dropping = Outliers(how="drop").fit(columns(a=values))
    assert np.flatnonzero(dropping.unwanted(columns(a=values))).tolist() == [20, 21]
    assert dropping.apply(columns(a=values)).inputs["a"][20] == 500
    assert dropping.serving == {}


@pytest.mark.parametrize(("rule", "limit", "low"), [("mad", 2.0, 10.5 - 2 * 1.4826 * 5), ("quantile", 0.05, 1.95)])
def test_other_rules(rule: str, limit: float, low: float) -> None:
    bounded = Outliers(rule=rule, limit=limit).fit(columns(a=np.arange(1.0, 21.0)))  # type: ignore[arg-type]
    assert bounded.limits["a"].low[0] == pytest.approx(low)


def test_codes_and_constant_columns_have_no_limits() -> None:
    data = columns(code=[1] * 30 + [9], same=[5.0] * 31, a=np.arange(31.0))
    assert list(Outliers().fit(data).limits) == ["a"]


def test_missing_values_are_not_wild() -> None:
    data = columns(a=[*np.arange(20.0), np.nan, 900.0])
    bounded = Outliers(how="drop").fit(data)
    assert np.flatnonzero(bounded.unwanted(data)).tolist() == [21]


def test_wild_steps_of_sequences() -> None:
    data = series((50, 50, 40))
    data.inputs["sequence"][2, 5, 1] = 999
    bounded = Outliers(how="drop").fit(data)
    assert bounded.unwanted(data).tolist() == [False, False, True]


@pytest.mark.parametrize(
    "data",
    [
        columns(a=[1.0, 2.0, 1.0, 2.0, 3.0], town=["x", "y", "x", "y", "x"], targets=[0, 1, 0, 0, 1]),
        texts("one", "two", "one", "two", "three"),
        pictures(5).take([0, 1, 0, 1, 2]),
    ],
    ids=["table", "text", "images"],
)
def test_copies(data: Examples) -> None:
    data.targets[:] = [0, 1, 0, 0, 1]
    unique = Duplicates().fit(data)
    assert unique.unwanted(data).tolist() == [False, True, True, True, False]
    assert unique.told == (
        "equal items: 1 are copies of another, 2 have copies with another target (training goes without them)"
    )
    assert Duplicates(conflicts="keep").fit(data).unwanted(data).tolist() == [False, False, True, False, False]


def test_words_are_told_apart_where_they_end() -> None:
    data = columns(a=["ab", "a", "ab"], b=["c", "bc", "c"])
    assert Duplicates().fit(data).unwanted(data.take([0, 1])).tolist() == [False, False]


def clusters(wrong: list[int]) -> Examples:
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 2
    data = columns(a=rng.normal(size=60) + 20 * targets, b=rng.normal(size=60), targets=targets)
    data.targets[wrong] = 1 - data.targets[wrong]
    return data


def test_labels_that_all_neighbours_contradict_are_doubtful() -> None:
    data = clusters(wrong=[7, 40])
    told = Noise().fit(data)
    assert "2 items whose neighbours agree on another class (7, 40)" in told.told
    assert not told.unwanted(data).any()
    dropped = Noise(how="drop").fit(data)
    assert np.flatnonzero(dropped.unwanted(data)).tolist() == [7, 40]
    assert not dropped.unwanted(clusters([])).any()
    assert Noise().fit(clusters(wrong=[])).told == ""


def test_doubtful_labels_of_texts_and_pictures() -> None:
    said = [f"where is my card number {n}" if n % 2 else f"what does transfer {n} cost" for n in range(40)]
    data = texts(*said)
    data.targets[9] = 0
    assert np.flatnonzero(Noise(how="drop", neighbours=5).fit(data).unwanted(data)).tolist() == [9]
    images = pictures(30)
    images.inputs["image"][1::2] //= 8
    images.targets[4] = 1
    assert np.flatnonzero(Noise(how="drop", neighbours=5).fit(images).unwanted(images)).tolist() == [4]


def test_noise_needs_classes_and_no_gaps() -> None:
    with pytest.raises(DataError, match="these targets are measured values"):
        Noise().fit(columns(a=[1.0, 2.0], targets=np.array([0.5, 1.0])))
    broken = series()
    broken.inputs["sequence"][0, 0, 0] = np.nan
    with pytest.raises(DataError, match=r"the step .noise. met a missing or infinite value"):
        Noise().fit(broken)
