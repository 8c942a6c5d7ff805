"""How a network comes to its answers: what each part of an item adds to the output that won.

Integrated gradients: M. Sundararajan, A. Taly, Q. Yan, "Axiomatic Attribution for Deep Networks", ICML 2017 (arXiv
1703.01365). Gradients are summed along the straight way from a baseline, an item that says nothing, to the item. What
all parts add makes up the difference of the two outputs (the paper's completeness); that is checked, and the way is
walked in shorter steps until it is so. Grad-CAM: R. Selvaraju et al., ICCV 2017 (arXiv 1610.02391): where in a picture
the last convolution sees what speaks for the answer. Both are captum's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from torch import nn
from torch.nn import functional

from steelyard.datasets.examples import Array, Examples
from steelyard.preparation.plain import Tokens
from steelyard.preparation.steps import apply_all
from steelyard.records.evaluation import Evaluation
from steelyard.train.entries import Entry, Tensors, entry_of
from steelyard.train.explained import Explained, Explanation
from steelyard.train.shaping import IDS, columns_of, inputs_of
from steelyard.train.trained import Trained
from steelyard.train.twins import twin

MOST_MISTAKES, MOST_RIGHT = 12, 20
STEPS = (32, 64, 128, 256, 512)
"""In which the way from the baseline is walked; shorter ones when those before were too long."""
CLOSE = 0.01
"""How far what all parts add may miss the difference of outputs, as a share of it."""
JUDGED = 512
"""Rows of a table by which its columns are weighed, and rows of the training part whose mean is the baseline."""
BASELINES = {
    "images": "a black picture, so that what is black adds nothing",
    "sequences": "the mean of each channel over the training items",
    "table": "the mean of the training rows",
    "text": "a text of nothing but padding",
}


def explain(trained: Trained, evaluation: Evaluation) -> Explanation:
    """The worst mistakes, and a right answer of each class, of the part that was evaluated. Deterministic."""
    raw = trained.part(evaluation.part)
    answers = trained.predict(raw)
    rows = [each.row for each in evaluation.mistakes[:MOST_MISTAKES]] + _right(raw, answers, trained.classes)
    network = twin(trained.network).eval()
    prepared = apply_all(trained.data.prepared, raw.take(rows))
    outputs = torch.from_numpy(np.asarray(answers[rows] if trained.classes else np.zeros(len(rows)), np.int64))
    entry = _entry(network, trained, prepared)
    added, gaps = _walked(entry, outputs)
    parts = _parts(added, prepared, trained)
    told = _words(answers[rows], trained.classes)
    truth = _words(raw.targets[rows], trained.classes)
    names = _tokens(prepared, trained)
    layer, seen = _grad_cam(network, prepared, trained, outputs)
    items = tuple(
        Explained(row, truth[i], told[i], parts[i], gaps[i], seen[i] if layer else None, names[i] if names else ())
        for i, row in enumerate(rows)
    )
    found = Explanation(raw.kind, items, BASELINES[raw.kind], _names(prepared, trained), layer=layer)
    return _weighed(found, network, trained, raw, answers) if raw.kind == "table" else found


def _right(raw: Examples, answers: Array, classes: tuple[str, ...]) -> list[int]:
    """The first item of each class that is answered rightly; of measured values, those that are nearest."""
    if not classes:
        off = np.abs(answers - raw.targets).reshape(len(raw), -1).sum(1)
        return [int(row) for row in np.argsort(off, kind="stable")[:3]]
    right = answers == raw.targets
    firsts = [np.flatnonzero(right & (raw.targets == number)) for number in range(len(classes))]
    return [int(each[0]) for each in firsts if len(each)][:MOST_RIGHT]


def _words(values: Array, classes: tuple[str, ...]) -> list[str]:
    return [classes[value] if classes else np.array2string(np.asarray(value), precision=4) for value in values]


def _entry(network: nn.Module, trained: Trained, prepared: Examples) -> Entry:
    device = next(network.parameters()).device
    serving = trained.data.prepared.serving
    inputs, quiet = inputs_of(prepared, serving), _quiet(trained)
    return entry_of(network, tuple(x.to(device) for x in inputs), tuple(x.to(device) for x in quiet))


def _quiet(trained: Trained) -> Tensors:
    """Inputs of items that say nothing, see `BASELINES`; what counts is their mean."""
    training, serving = trained.data.training, trained.data.prepared.serving
    if "image" in training.inputs:
        one = trained.data.raw.training.take([0])
        black = one.with_inputs({"image": np.zeros_like(one.inputs["image"])})
        return inputs_of(apply_all(trained.data.prepared, black), serving)
    some = inputs_of(training.take(_spread(len(training))), serving)
    if "sequence" in training.inputs:
        return (some[0].mean((0, 1)).expand(1, *some[0].shape[1:]), *(each[:1] for each in some[1:]))
    if IDS in training.inputs:
        padding = getattr(trained.data.shape, "padding", 0)
        return (torch.full_like(some[0][:1], padding),)
    return some


def _spread(items: int) -> Array:
    return np.arange(items) if items <= JUDGED else np.arange(JUDGED) * items // JUDGED


def _walked(entry: Entry, outputs: torch.Tensor, at_once: int = 1) -> tuple[list[Tensors], list[float]]:
    """What each number that enters adds to the item's output; and by how much all of them miss its difference."""
    added: list[Tensors] = []
    gaps: list[float] = []
    for start in range(0, len(outputs), at_once):
        some, chosen = entry.take(start, start + at_once), outputs[start : start + at_once]
        for steps in STEPS:
            found = _integrated(some, chosen, steps)
            missed = _missed(some, chosen, found)
            if max(missed) <= CLOSE:
                break
        added += [tuple(each[i] for each in found) for i in range(len(chosen))]
        gaps += missed
    return added, gaps


def _integrated(entry: Entry, outputs: torch.Tensor, steps: int) -> Tensors:
    found: Tensors = IntegratedGradients(entry.network, multiply_by_inputs=True).attribute(
        entry.changed,
        baselines=entry.baselines,
        target=outputs.to(entry.changed[0].device),
        additional_forward_args=entry.fixed or None,
        n_steps=steps,
    )
    return tuple(each.detach() for each in found)


def _missed(entry: Entry, outputs: torch.Tensor, added: Tensors) -> list[float]:
    """Completeness, item by item."""
    with torch.no_grad():
        here = entry.network(*entry.changed, *entry.fixed)
        there = entry.network(
            *(b.expand_as(x) for b, x in zip(entry.baselines, entry.changed, strict=True)), *entry.fixed
        )
    rows = torch.arange(len(outputs))
    differs = (here - there)[rows, outputs].double().cpu()
    summed = sum(each.double().reshape(len(outputs), -1).sum(1).cpu() for each in added)
    least = 1e-3 * here.abs().amax(1).double().cpu() + 1e-9
    return [float(each) for each in (summed - differs).abs() / torch.maximum(differs.abs(), least)]


def _parts(added: Sequence[Tensors], prepared: Examples, trained: Trained) -> list[Array]:
    """Numbers that belong to one part of an item (colours, a token's vector, a column's categories) are summed up."""
    arrays = [tuple(np.asarray(each.cpu().numpy()) for each in one) for one in added]
    if "image" in prepared.inputs:
        return [one[0].sum(0) for one in arrays]
    if "sequence" in prepared.inputs:
        lengths = prepared.inputs.get("length", [len(one[0]) for one in arrays])
        return [one[0][:length] for one, length in zip(arrays, lengths, strict=True)]
    if IDS in prepared.inputs:
        return [one[0].sum(1) for one in arrays]
    return [_of_columns(one, prepared, trained) for one in arrays]


def _of_columns(added: tuple[Array, ...], prepared: Examples, trained: Trained) -> Array:
    """Of numbers, then of categories: what enters behind their embeddings, or as numbers where there are none."""
    *embedded, table = added
    columns = columns_of(prepared, trained.data.prepared.serving)
    widths = [prepared.inputs[name].reshape(len(prepared), -1).shape[1] for name in columns.numbers]
    ends = np.cumsum(widths, dtype=np.int64)
    numbers = [part.sum() for part in np.split(table, ends)[: len(widths)]]
    codes = [each.sum() for each in embedded] or list(table[sum(widths) :])
    return np.asarray([*numbers, *codes], np.float64)


def _names(prepared: Examples, trained: Trained) -> tuple[str, ...]:
    if prepared.kind == "table":
        columns = columns_of(prepared, trained.data.prepared.serving)
        return (*columns.numbers, *columns.categories)
    if "sequence" in prepared.inputs:
        return tuple(f"channel {number}" for number in range(prepared.inputs["sequence"].shape[2]))
    return ()


def _tokens(prepared: Examples, trained: Trained) -> list[tuple[str, ...]]:
    """Of each text; nothing of other items. Padding has no name."""
    if IDS not in prepared.inputs:
        return []
    from tokenizers import Tokenizer

    step = next(step for step in trained.data.prepared.serving["text"] if isinstance(step, Tokens))
    tokenizer = Tokenizer.from_str(step.tokenizer)
    mask = prepared.inputs.get("attention_mask", np.ones_like(prepared.inputs[IDS]))
    return [
        tuple(
            (tokenizer.id_to_token(int(token)) or "") if is_text else ""
            for token, is_text in zip(ids, counts, strict=True)
        )
        for ids, counts in zip(prepared.inputs[IDS], mask, strict=True)
    ]


def _grad_cam(
    network: nn.Module, prepared: Examples, trained: Trained, outputs: torch.Tensor
) -> tuple[str, list[Array]]:
    """The name of the last convolution, and what it saw of each picture; nothing where there is none."""
    layers = [(name, part) for name, part in network.named_modules() if isinstance(part, nn.Conv2d)]
    if "image" not in prepared.inputs or not layers:
        return "", []
    name, layer = layers[-1]
    pixels = inputs_of(prepared, trained.data.prepared.serving)[0].to(next(network.parameters()).device)
    found = LayerGradCam(network, layer).attribute(pixels, outputs.to(pixels.device), relu_attributions=True)
    spread = functional.interpolate(found.detach(), pixels.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    most = spread.amax((1, 2), keepdim=True).clamp(min=1e-12)
    return name, list(np.asarray((spread / most).cpu().numpy()))


def _weighed(found: Explanation, network: nn.Module, trained: Trained, raw: Examples, answers: Array) -> Explanation:
    """With the weight of each column, over items of the part from all over."""
    rows = _spread(len(raw))
    prepared = apply_all(trained.data.prepared, raw.take(rows))
    outputs = torch.from_numpy(np.asarray(answers[rows] if trained.classes else np.zeros(len(rows)), np.int64))
    added, _ = _walked(_entry(network, trained, prepared), outputs, at_once=64)
    weights = np.abs(_parts(added, prepared, trained)).mean(0)
    return replace(found, weights=tuple(float(each) for each in weights), judged=len(rows))
