"""From prepared items to what a network takes: its shape, and tensors in the order that it is called with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from steelyard.datasets.examples import Array, Examples
from steelyard.errors import DataError
from steelyard.networks.shapes import ImageShape, InputShape, SequenceShape, TableShape, TextShape
from steelyard.preparation.plain import Ordinal, Plain, Tokens
from steelyard.preparation.steps import Serving
from steelyard.train.items import Items

IDS = "input_ids"
UNSCALED = 1 / 255
"""What pictures are multiplied by that no step has scaled."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table, as a network takes them: numbers in their order, then categories."""

    numbers: tuple[str, ...]
    """Each a number, or the zeros and ones of a category that was spread out."""
    categories: tuple[str, ...]


def columns_of(examples: Examples, serving: Serving) -> Columns:
    """Which columns are categories: those whose last step gave numbers to words. Raises DataError for words."""
    words = [name for name, values in examples.inputs.items() if values.dtype == object]
    if words:
        raise DataError(
            f"the column {words[0]!r} holds words, which no network takes",
            '[[prepare]] name = "one-hot" or "ordinal" makes numbers of them; or leave the column out: [data] columns',
        )
    codes = tuple(name for name in examples.inputs if isinstance((serving.get(name) or (None,))[-1], Ordinal))
    return Columns(tuple(name for name in examples.inputs if name not in codes), codes)


def shape_of(examples: Examples, serving: Serving) -> InputShape:
    """What one item looks like. Raises DataError for what no network takes."""
    inputs = examples.inputs
    if "image" in inputs:
        height, width, channels = inputs["image"].shape[1:]
        return ImageShape(height=height, width=width, channels=channels)
    if "sequence" in inputs:
        return SequenceShape(steps=inputs["sequence"].shape[1], channels=inputs["sequence"].shape[2])
    if IDS in inputs:
        return _text_shape(inputs[IDS], serving)
    if "text" in inputs:
        raise DataError("a network takes no text as it is", '[[prepare]] name = "tokens" makes numbers of it')
    columns = columns_of(examples, serving)
    numbers = sum(_width(inputs[name]) for name in columns.numbers)
    return TableShape(numbers=numbers, categories=tuple(_categories(serving[name]) for name in columns.categories))


def _text_shape(tokens: Array, serving: Serving) -> TextShape:
    from tokenizers import Tokenizer

    step = next(step for step in serving["text"] if isinstance(step, Tokens))
    tokenizer = Tokenizer.from_str(step.tokenizer)
    vocabulary = max(tokenizer.get_vocab_size(), int(tokens.max(initial=0)) + 1)
    padding = next((i for i in map(tokenizer.token_to_id, ("[PAD]", "<pad>", "<|endoftext|>")) if i is not None), 0)
    return TextShape(vocabulary=vocabulary, length=step.length, padding=padding)


def _width(values: Array) -> int:
    return 1 if values.ndim == 1 else int(values.shape[1])


def _categories(steps: tuple[Plain | Tokens, ...]) -> int:
    last = steps[-1]
    return len(last.categories) + 1 if isinstance(last, Ordinal) else 0


def items_of(examples: Examples, serving: Serving) -> Items:
    """Inputs and targets as tensors, in memory."""
    targets = torch.from_numpy(np.ascontiguousarray(examples.targets))
    return Items(inputs_of(examples, serving), targets)


def inputs_of(examples: Examples, serving: Serving) -> tuple[torch.Tensor, ...]:
    """What a network is called with for these prepared items."""
    inputs = examples.inputs
    if "image" in inputs:
        return (_pictures(inputs["image"]),)
    if "sequence" in inputs:
        return tuple(torch.from_numpy(np.ascontiguousarray(inputs[n])) for n in ("sequence", "length") if n in inputs)
    if IDS in inputs:
        return (torch.from_numpy(np.ascontiguousarray(inputs[IDS])),)
    return (torch.from_numpy(table_of(inputs, columns_of(examples, serving))),)


def _pictures(pixels: Array) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return tensor if tensor.is_floating_point() else tensor.float() * UNSCALED


def table_of(inputs: Mapping[str, Array], columns: Columns) -> Array:
    """float32 [items, numbers + categories]."""
    order = (*columns.numbers, *columns.categories)
    columns_of_each = (values[:, None] if values.ndim == 1 else values for values in map(inputs.__getitem__, order))
    return np.concatenate([each.astype(np.float32) for each in columns_of_each], axis=1)
