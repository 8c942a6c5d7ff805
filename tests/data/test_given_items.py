"""What goes into an object that is exported: the arrays that it takes, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from steelyard.data.examples import Takes, examples
from steelyard.errors import DataError
from steelyard.records.data import Preprocess

ASIDE = {"labels"}
PLAIN = Preprocess()


def names(arrays: Mapping[str, Any], takes: Takes, **inputs: str) -> list[str]:
    return [example.name for example in examples(arrays, ASIDE, takes, inputs, PLAIN)]


def some(*called: str) -> dict[str, Any]:
    return {name: np.zeros((20, 3, 2)) for name in called}


def test_arrays_go_into_arguments_of_their_names_and_spare_ones_nowhere() -> None:
    arrays = some("b", "spare", "a", "labels")
    assert names(arrays, Takes(("a", "b"))) == ["a", "b"]
    assert names(arrays, Takes(("a",), ("b", "c"))) == ["a", "b"]
    assert names(arrays, Takes(("a", "c")), c="spare") == ["a", "c"]


def test_one_argument_takes_the_array_that_is_called_as_inputs_are() -> None:
    assert names(some("extra", "x", "labels"), Takes(("pixels",))) == ["pixels"]
    assert names(some("other", "labels"), Takes(("pixels",))) == ["pixels"]
    with pytest.raises(DataError, match="which array goes into the model's argument 'pixels'") as caught:
        names(some("one", "two"), Takes(("pixels",)))
    assert caught.value.hint == 'inputs={"pixels": "one"} says so'
    with pytest.raises(DataError, match="no array 'three' for the model; there are one, two"):
        names(some("one", "two"), Takes(("pixels",)), pixels="three")


def test_otherwise_all_go_in_in_their_order() -> None:
    assert names(some("p", "q"), Takes(("a", "b"))) == ["a", "b"]
    assert names(some("p", "q"), Takes(())) == ["p", "q"]


def test_lengths_are_no_input_but_tell_that_items_grow() -> None:
    arrays = some("x", "y") | {"x_lengths": np.ones(20, int)}
    found = examples(arrays, ASIDE, Takes(("x", "y")), {}, PLAIN)
    assert [example.grows for example in found] == [True, False]
    assert len(examples(some("x") | {"lengths": np.ones(20, int)}, ASIDE, Takes(("v",)), {}, PLAIN)) == 1


def test_values_are_those_that_the_model_will_be_given() -> None:
    pixels = {"x": np.full((20, 3, 4, 4), 255, np.uint8)}
    [scaled] = examples(pixels, ASIDE, Takes(("x",)), {}, Preprocess(scale=1 / 255, mean=(0, 1, 1)))
    assert scaled.values.dtype == np.float32
    assert scaled.values[:, :, 0, 0].tolist() == [[1, 0, 0]] * 8
    [raw] = examples(pixels, ASIDE, Takes(("x",)), {}, Preprocess(dtype="float32"))
    assert raw.values.dtype == np.float32
    assert raw.values.max() == 255
    ids = {"x": np.zeros((20, 3)), "ids": np.zeros((20, 3), np.int64)}
    found = examples(ids, ASIDE, Takes(("x", "ids")), {}, Preprocess(scale=2.0))
    assert [example.values.dtype for example in found] == [np.float32, np.int64]
