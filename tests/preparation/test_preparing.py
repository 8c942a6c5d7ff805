"""Steps are fitted on training items alone, never change how many items judge, and come back from their file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from made_examples import columns, pictures, series, texts
from steelyard.datasets.examples import Examples
from steelyard.errors import DataError, UsageError
from steelyard.preparation import steps
from steelyard.records.dotted import found

TABLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("duplicates", {}),
    ("missing", {}),
    ("outliers", {"how": "drop"}),
    ("noise", {"how": "drop", "neighbours": 2}),
    ("standard", {}),
    ("one-hot", {"columns": ["town"]}),
    ("ordinal", {}),
)


def a_table(seed: int, count: int = 60) -> Examples:
    rng = np.random.default_rng(seed)
    size = np.where(rng.random(count) < 0.1, np.nan, rng.normal(10, 3, count))
    towns = [("oslo", "rome", None)[n] for n in rng.integers(0, 3, count)]
    size[5] = 1e6
    return columns(size=size, rooms=rng.integers(1, 30, count), town=towns, street=[*"abcdef"] * (count // 6))


@pytest.mark.parametrize(
    ("wanted", "training", "judging"),
    [
        (TABLE, a_table(0), a_table(1)),
        ((("min-max", {}),), pictures(20), pictures(7, seed=1)),
        ((("missing", {}), ("outliers", {}), ("robust", {})), series(), series((2, 1, 5), seed=1)),
        ((("personal", {}), ("tokens", {"vocabulary": 60})), texts("call 030 123456", "me", "you"), texts("you", "he")),
    ],
    ids=["table", "images", "sequences", "text"],
)
def test_what_was_written_prepares_as_what_was_fitted(
    wanted: tuple[tuple[str, dict[str, Any]], ...], training: Examples, judging: Examples
) -> None:
    prepared = steps.fit_all([steps.make(name, options) for name, options in wanted], training)
    again = steps.prepared_from_json(steps.prepared_to_json(prepared))
    assert again.told == prepared.told
    assert again.serving == prepared.serving
    one, other = (steps.apply_all(each, judging) for each in (prepared, again))
    assert len(one) == len(judging)
    assert np.array_equal(one.targets, judging.targets)
    for name, values in one.inputs.items():
        assert np.array_equal(values, other.inputs[name]), name


def test_items_that_judge_never_leave_but_are_told() -> None:
    training, judging = columns(a=[1.0, 2.0, 3.0, np.nan]), columns(a=[np.nan, 5.0])
    prepared = steps.fit_all([steps.make("missing", {"how": "drop"})], training)
    assert len(steps.apply_all(prepared, training, training=True)) == 3
    assert steps.apply_all(prepared, judging).inputs["a"].tolist() == [2.0, 5.0]
    assert steps.kept_all_the_same(prepared, judging, "test") == (
        "test: 1 of 2 items stay that training would go without (missing values training goes without them; "
        "elsewhere filled in)",
    )


def test_nothing_of_other_parts_is_looked_at() -> None:
    """Scaling by training's mean: a judging part far away stays far away."""
    prepared = steps.fit_all([steps.make("standard")], columns(a=[0.0, 2.0, 4.0, 6.0]))
    moved = steps.apply_all(prepared, columns(a=[1003.0, 1005.0])).inputs["a"]
    assert moved.mean() == pytest.approx((1004 - 3) / np.sqrt(5))


def test_steps_see_what_those_before_them_made() -> None:
    training = columns(a=[1.0, 1.0, 3.0, 1000.0], targets=[0, 0, 1, 1])
    wanted = [steps.make("duplicates"), steps.make("outliers", {"how": "drop", "rule": "mad"}), steps.make("min-max")]
    prepared = steps.fit_all(wanted, training)
    kept = steps.apply_all(prepared, training, training=True)
    assert kept.inputs["a"].tolist() == [0.0, 1.0]
    assert prepared.told[:2] == (
        "equal items: 1 are copies of another",
        "wild values training goes without them: a in 1 items",
    )


def test_what_serving_does_comes_in_order() -> None:
    wanted = [steps.make("missing"), steps.make("outliers"), steps.make("standard"), steps.make("one-hot")]
    data = columns(a=np.arange(40.0), town=["oslo", "rome"] * 20)
    serving = steps.fit_all(wanted, data).serving
    assert [type(piece).__name__ for piece in serving["a"]] == ["Impute", "Clip", "Affine"]
    assert [type(piece).__name__ for piece in serving["town"]] == ["Impute", "OneHot"]


def test_misspelt_steps_and_options_get_a_suggestion() -> None:
    with pytest.raises(UsageError, match="no step of preparation is called 'standart'") as caught:
        steps.make("standart")
    assert caught.value.hint == "did you mean standard?"
    with pytest.raises(UsageError, match="the step 'outliers' has no option 'limits'") as caught:
        steps.make("outliers", {"limits": 3})
    assert caught.value.hint == "did you mean limit?"
    with pytest.raises(UsageError, match="the step 'missing': Invalid enum value 'fil'"):
        steps.make("missing", {"how": "fil"})
    with pytest.raises(UsageError, match=r"a quantile lies between 0 and 0\.5"):
        steps.make("outliers", {"rule": "quantile", "limit": 3})


def test_every_name_leads_somewhere() -> None:
    for name in steps.STEPS:
        assert callable(steps.make(name).fit)
    for path in steps.FITTED.values():
        assert callable(found(path).apply)


def test_files_that_are_no_preparation_are_refused() -> None:
    for raw in (b"nonsense", b"{}", b'[{"step": "columnwise", "found": {"told": 1}}]', b"\xff"):
        with pytest.raises(DataError, match="no preparation that was written by Steelyard"):
            steps.prepared_from_json(raw)
    with pytest.raises(DataError, match="a step 'os:system' that this version does not know"):
        steps.prepared_from_json(b'[{"step": "os:system", "found": {}}]')


def test_a_step_of_ones_own_is_applied_but_not_written() -> None:
    class Twice:
        told = "twice"
        serving: steps.Serving = {}

        def fit(self, examples: Examples) -> Any:
            return self

        def unwanted(self, examples: Examples) -> Any:
            return np.zeros(len(examples), bool)

        def apply(self, examples: Examples) -> Examples:
            return examples.with_inputs({name: 2 * values for name, values in examples.inputs.items()})

    prepared = steps.fit_all([Twice()], columns(a=[1.0, 2.0]))
    assert steps.apply_all(prepared, columns(a=[3.0, 4.0])).inputs["a"].tolist() == [6.0, 8.0]
    with pytest.raises(UsageError, match="a step of your own"):
        steps.prepared_to_json(prepared)


def test_training_without_items_is_an_error() -> None:
    gaps = columns(a=[np.nan, 1.0], b=[1.0, np.nan])
    with pytest.raises(DataError, match="no items are left to train on: missing values"):
        steps.fit_all([steps.make("missing", {"how": "drop"})], gaps)


def test_a_column_that_is_gone_is_named() -> None:
    prepared = steps.fit_all([steps.make("standard")], columns(a=[1.0, 2.0]))
    with pytest.raises(DataError, match="there is no input 'a', which was there in training; there are b"):
        steps.apply_all(prepared, columns(b=[1.0, 2.0]))
