"""Columns of words in an exported table: the first layer of each knows the number of every word.

That is LabelEncoder (https://onnx.ai/onnx/operators/onnx_aionnxml_LabelEncoder.html). torch knows no words, so it is
put before the network in the exported file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import compose, helper

from steelyard.datasets.examples import Array, Examples
from steelyard.errors import ModelError
from steelyard.preparation.plain import Impute, OneHot, Ordinal, Plain
from steelyard.preparation.steps import Serving
from steelyard.train.raw_inputs import MISSING, TABLE, RawInputs, numbers_and_words

CODED = "coded"
"""The network's one input: numbers, then a number for each word."""
INSIDE = "network."
"""Before the names of all that was there, so that columns may be called as they like."""
DOMAIN, VERSION = "ai.onnx.ml", 2


@dataclass(frozen=True)
class WordColumn:
    """Words → their numbers, from 1; any other word is 0. Then `steps` are done to the number."""

    numbers: Mapping[str, float]
    steps: tuple[Plain, ...]


def word_columns(raw: Examples, serving: Serving) -> dict[str, WordColumn]:
    """What is known of each column of words, in the order of the data; empty when there is none.

    Raises ModelError for one that no step makes numbers of.
    """
    return {name: _column(name, [s for s in serving.get(name, ()) if isinstance(s, Plain)])
            for name in numbers_and_words(raw)[1]}  # fmt: skip


def _column(name: str, steps: Sequence[Plain]) -> WordColumn:
    place = next((n for n, step in enumerate(steps) if isinstance(step, OneHot | Ordinal)), None)
    if place is None:
        raise ModelError(f"no step makes numbers of the words in {name!r}", '[[prepare]] name = "ordinal"')
    known = steps[place]
    assert isinstance(known, OneHot | Ordinal)  # noqa: S101
    numbers = {str(word): float(number) for number, word in enumerate(known.categories, 1)}
    filling = next((step.values[0] for step in steps[:place] if isinstance(step, Impute)), None)
    if filling is not None:
        numbers[MISSING] = numbers.get(str(filling), 0.0)
    spread = (OneHot(categories=tuple(range(1, len(known.categories) + 1))),) if isinstance(known, OneHot) else ()
    return WordColumn(numbers, (*spread, *steps[place + 1 :]))


def coded(inputs: RawInputs, words: Mapping[str, WordColumn]) -> RawInputs:
    """The same items as numbers alone, float32 [items, columns]: what the network itself takes."""
    numbers = dict(zip(inputs.names, inputs.arrays, strict=True)).get(TABLE)
    arrays: list[Array] = [] if numbers is None else [numbers]
    for array, column in zip(inputs.arrays[-len(words) :], words.values(), strict=True):
        places = [column.numbers.get(word, 0.0) for word in array[:, 0].tolist()]
        arrays.append(np.array(places, np.float32)[:, None])
    return RawInputs((CODED,), (np.concatenate(arrays, axis=1),))


def put_words_first(model: Path, inputs: RawInputs, words: Mapping[str, WordColumn]) -> None:
    """Let the model at `model`, which takes what `coded` gives, take `inputs`."""
    inner = compose.add_prefix(onnx.load(model), INSIDE, rename_inputs=True, rename_outputs=False)
    graph, batch = inner.graph, inner.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    taken, given, nodes = [], [], []
    for name, array in zip(inputs.names, inputs.arrays, strict=True):
        kind = onnx.TensorProto.STRING if array.dtype == object else onnx.TensorProto.FLOAT
        given.append(helper.make_tensor_value_info(name, kind, [batch, array.shape[1]]))
        taken.append(name)
    for place, column in enumerate(words.values(), len(inputs.names) - len(words)):
        code = f"{INSIDE}word{place}"
        nodes.append(_encoder(taken[place], code, column))
        taken[place] = code
    nodes.append(helper.make_node("Concat", taken, [graph.input[0].name], name=f"{INSIDE}columns", axis=1))
    del graph.input[:]
    graph.input.extend(given)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    inner.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    onnx.checker.check_model(inner)
    onnx.save(inner, model)


def _encoder(name: str, code: str, column: WordColumn) -> onnx.NodeProto:
    return helper.make_node(
        "LabelEncoder", [name], [code], name=code, domain=DOMAIN,
        keys_strings=list(column.numbers), values_floats=list(column.numbers.values()), default_float=0.0,
    )  # fmt: skip
