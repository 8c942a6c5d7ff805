"""The model card: what a network is for, what it was made of, how right it is, and what nobody should expect of it.

M. Mitchell et al., "Model Cards for Model Reporting", FAT* 2019 (arXiv 1810.03993); the head is what the Hugging Face
Hub reads (https://huggingface.co/docs/hub/model-cards).
"""

from __future__ import annotations

from collections.abc import Iterator

from steelyard.records.evaluation import Evaluation
from steelyard.records.training import PrivacySpent, Run

FIGURES = ("accuracy", "precision", "recall", "f1", "auroc", "calibration_error", "mse", "mae", "r2")
WEAK = 0.1
"""A class whose recall lies so far below the mean is named among the limits."""


def card(run: Run, evaluation: Evaluation) -> str:
    """Markdown."""
    return "\n".join([*_head(run), *_what(run), *_how_right(evaluation), *_limits(run, evaluation), *_data(run)]) + "\n"


def _head(run: Run) -> Iterator[str]:
    kinds = {True: "classification", False: "regression"}
    yield from ("---", "library_name: onnx", "tags:", f"- {kinds[bool(run.data.classes)]}", "- steelyard", "---", "")


def _what(run: Run) -> Iterator[str]:
    yield from (f"# {run.recipe.name}", "")
    yield f"`{run.network}`, {run.parameters:,} parameters, trained on {run.data.name} by Steelyard; see `run.json`."
    if run.data.classes:
        shown = ", ".join(run.data.classes[:20]) + (" …" if len(run.data.classes) > 20 else "")
        yield f"It tells {len(run.data.classes)} classes apart: {shown}."
    yield "`model.onnx` takes items as they come: what was done to the data before training is its first layers."
    yield ""


def _how_right(evaluation: Evaluation) -> Iterator[str]:
    yield from ("## How right it is", "")
    yield f"On {evaluation.items:,} items of the {evaluation.part}, which took no part in training or choosing:"
    yield from ("", "| figure | value | 95 % limits |", "| --- | ---: | --- |")
    for name in FIGURES:
        found = getattr(evaluation, name)
        if found is not None:
            yield f"| {name.replace('_', ' ')} | {found.value:.4f} | {found.low:.4f} to {found.high:.4f} |"
    yield ""
    if evaluation.groups:
        yield from ("| group | items | accuracy |", "| --- | ---: | --- |")
        for group in evaluation.groups:
            right = group.accuracy
            yield f"| {group.name} | {group.items:,} | {right.value:.3f} ({right.low:.3f} to {right.high:.3f}) |"
        yield ""


def _limits(run: Run, evaluation: Evaluation) -> Iterator[str]:
    yield from ("## Limits", "")
    yield f"- It knows what {run.data.name} showed it and nothing else: judge it anew on data from elsewhere."
    for warning in evaluation.warnings:
        yield f"- **{warning}**"
    for leak in run.data.leaks:
        yield f"- **Leak between the parts, so figures may be too good:** {leak}"
    mean = evaluation.recall.value if evaluation.recall else 0.0
    for one in evaluation.by_class:
        if one.items and one.recall.value < mean - WEAK:
            yield f"- It finds only {one.recall.value:.0%} of '{one.name}'."
    if run.privacy is None:
        yield "- It was trained without differential privacy: that an item was among the data may be found out."
    else:
        yield from (f"- {sentence}" for sentence in told_privacy(run.privacy))
    yield ""


def told_privacy(spent: PrivacySpent) -> Iterator[str]:
    """What was guaranteed, what was not, and what it cost."""
    yield (
        f"Differential privacy: ε = {spent.epsilon:.2f} and δ = {spent.delta:.1e} were spent on each training item, in "
        f"{spent.steps:,} steps with noise of {spent.noise:.2f} times the most that an item may add."
    )
    yield from spent.told
    if spent.cost is None:
        yield "What that cost in quality was not measured."
    else:
        private, plain = (
            f"{x.value:.4f} ({x.low:.4f} to {x.high:.4f})" for x in (spent.cost.private, spent.cost.plain)
        )
        yield f"What it cost: {spent.cost.figure} {private}; the same recipe without privacy: {plain}."


def _data(run: Run) -> Iterator[str]:
    yield from ("## Data", "")
    parts = ", ".join(f"{name} {count:,}" for name, count in run.data.items.items())
    yield f"{run.data.name}: {parts} items. SHA-256 `{run.data.sha256}`."
    if run.data.source:
        yield f"Source: {run.data.source}. Licence: {run.data.licence}."
    yield ""
    for sentence in run.data.prepared:
        yield f"- {sentence}"
