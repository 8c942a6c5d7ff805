from __future__ import annotations

import numpy as np

from steelyard.serve.assembly import Assembly, Growth, Request

IDS = Growth(axis=1, fill=7)


def request(length: int, value: int = 1) -> Request:
    return {"ids": np.full((1, length), value), "x": np.array([[value, length]])}


def test_items_of_one_shape_are_joined() -> None:
    [run] = Assembly({}).runs([request(3, 1), request(3, 2)])
    assert run.places == (0, 1)
    assert run.inputs["ids"].tolist() == [[1, 1, 1], [2, 2, 2]]
    assert run.inputs["x"].tolist() == [[1, 3], [2, 3]]


def test_one_request_goes_in_as_it_is() -> None:
    asked = request(3)
    [run] = Assembly({"ids": IDS}, pad=True).runs([asked])
    assert run.inputs["ids"] is asked["ids"]


def test_filled_up_to_the_longest() -> None:
    [run] = Assembly({"ids": IDS}, pad=True).runs([request(1), request(3), request(2)])
    assert run.inputs["ids"].tolist() == [[1, 7, 7], [1, 1, 1], [1, 1, 7]]
    assert run.inputs["x"].tolist() == [[1, 1], [1, 3], [1, 2]]


def test_filled_up_along_another_axis() -> None:
    items = [{"x": np.ones((1, 2, length))} for length in (1, 2)]
    [run] = Assembly({"x": Growth(axis=2)}, pad=True).runs(items)
    assert run.inputs["x"].tolist() == [[[1, 0], [1, 0]], [[1, 1], [1, 1]]]


def test_without_filling_up_each_length_is_a_run_of_its_own() -> None:
    runs = Assembly({"ids": IDS}).runs([request(2, 1), request(3, 2), request(2, 3)])
    assert [run.places for run in runs] == [(0, 2), (1,)]
    assert [run.inputs["ids"].tolist() for run in runs] == [[[1, 1], [3, 3]], [[2, 2, 2]]]


def test_inputs_that_differ_in_length_from_each_other() -> None:
    items = [{"a": np.zeros((1, 1)), "b": np.zeros((1, n))} for n in (2, 3, 2)]
    runs = Assembly({"a": Growth(axis=1), "b": Growth(axis=1)}).runs(items)
    assert [run.places for run in runs] == [(0, 2), (1,)]


def test_a_fixed_batch_is_filled_by_repeating_the_first_item() -> None:
    [run] = Assembly({}, fixed_batch=3).runs([request(2, 1), request(2, 2)])
    assert run.inputs["ids"].tolist() == [[1, 1], [2, 2], [1, 1]]
    runs = Assembly({"ids": IDS}, fixed_batch=2).runs([request(2, n) for n in range(3)])
    assert [run.places for run in runs] == [(0, 1), (2,)]
    assert runs[1].inputs["ids"].tolist() == [[2, 2], [2, 2]]
