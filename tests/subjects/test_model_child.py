"""What a child does with items: at the length that they have, together or apart, the output that is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steelyard.errors import UsageError
from steelyard.metrics import metric
from steelyard.records.data import ArrayFile
from steelyard.records.engine import Array
from steelyard.subjects.model_child import ModelRunner, judged

LENGTHS = [1, 3, 2, 3, 1, 2, 4, 1, 3, 2]


class Summing:
    """Answers the sum of each item; keeps the shapes that it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        self.shapes.append(inputs["x"].shape)
        return [inputs["x"].reshape(len(inputs["x"]), -1).sum(axis=1, keepdims=True), inputs["x"]]


def first(outputs: Sequence[Array]) -> NDArray[Any]:
    return np.asarray(outputs[0])


@pytest.fixture
def ragged_file(tmp_path: Path) -> ArrayFile:
    """Ten items of one to four steps; the steps of item n are all n + 1."""
    np.save(tmp_path / "x.npy", np.repeat(np.arange(1.0, 11.0), LENGTHS))
    np.save(tmp_path / "n.npy", np.array(LENGTHS))
    return ArrayFile(
        file=str(tmp_path / "x.npy"), dtype="float64", shape=(22,), lengths=str(tmp_path / "n.npy"), fill=100.0
    )


Make = Callable[..., tuple[ModelRunner, Summing]]


@pytest.fixture
def runner(ragged_file: ArrayFile) -> Make:
    def make(max_batch: int = 4, fixed: int | None = None, *, pad: bool) -> tuple[ModelRunner, Summing]:
        session = Summing()
        return ModelRunner(session, first, {"x": ragged_file}, 10, max_batch, fixed, pad=pad), session

    return make


def expected(start: int, stop: int) -> list[float]:
    return [(n + 1) * LENGTHS[n] for n in range(start, stop)]


def test_answers_are_in_order_though_items_of_one_length_go_together(runner: Make) -> None:
    made, session = runner(pad=False)
    assert made.answers(0, 10)[:, 0].tolist() == expected(0, 10)
    assert sorted(session.shapes) == [(1, 4), (3, 1), (3, 2), (3, 3)]
    assert made.answers(3, 7)[:, 0].tolist() == expected(3, 7)


def test_a_fixed_batch_of_items_of_one_length(runner: Make) -> None:
    made, session = runner(2, 2, pad=False)
    assert made.answers(0, 10)[:, 0].tolist() == expected(0, 10)
    assert {shape[0] for shape in session.shapes} == {2}


def test_filled_up_items_go_together_as_they_come(runner: Make) -> None:
    made, session = runner(pad=True)
    answers = made.answers(0, 3)[:, 0]
    assert session.shapes == [(3, 3)]
    assert answers.tolist() == [1 + 200, 6, 6 + 100]


def test_requests_are_served_in_the_order_of_the_data(runner: Make) -> None:
    apart, session = runner(pad=False)
    for _ in range(2):
        apart.serve(0, 4)
    assert session.shapes == [(1, 1), (2, 3), (1, 2), (2, 1), (1, 2), (1, 4)]
    together, session = runner(pad=True)
    for _ in range(3):
        together.serve(0, 3)
    assert session.shapes == [(3, 3), (3, 3), (3, 4)]


def test_all_lengths_are_served_before_any_comes_again(runner: Make) -> None:
    made, session = runner(1, pad=True)
    for _ in range(10):
        made.serve(0, 1)
    assert [shape[1] for shape in session.shapes] == LENGTHS


def test_an_output_that_grows_with_the_item_cannot_be_judged(ragged_file: ArrayFile) -> None:
    made = ModelRunner(Summing(), lambda outputs: outputs[1], {"x": ragged_file}, 10, 4, None)
    with pytest.raises(UsageError, match="grows with the length of the item") as caught:
        made.answers(0, 10)
    assert "--output" in caught.value.hint


def test_one_item_of_one_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(3, 2))
    made = ModelRunner(
        session := Summing(),
        first,
        {"x": ArrayFile(file=str(tmp_path / "x.npy"), dtype="float64", shape=(3, 2))},
        3,
        4,
        None,
    )
    made.serve(0, 4)
    assert session.shapes == [(4, 2)]
    assert made.answers(0, 3)[:, 0].tolist() == [1, 5, 9]


def test_the_output_that_is_judged() -> None:
    outputs = [np.array([[0.1], [0.9]]), np.array([[0.1, 0.9], [0.8, 0.2]])]
    argument: dict[str, Any] = {"metric": "accuracy", "classes": [], "output": None}
    assert judged(argument)(outputs).tolist() == metric("accuracy").answers(outputs).tolist() == [1, 0]
    assert judged(argument | {"output": 0})(outputs).tolist() == [0, 1]
