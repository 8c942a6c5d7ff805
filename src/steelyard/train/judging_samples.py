"""How good the pictures are that a generator makes: by a classifier of our own, beside real pictures it never saw."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from steelyard.datasets.examples import Array, Examples
from steelyard.evaluation.samples import classifier_score, frechet_distance
from steelyard.records.generating import Samples, SamplesJudged
from steelyard.records.recipe import Chosen, Recipe, Training
from steelyard.train.adversarial import Pair
from steelyard.train.fitting import fit
from steelyard.train.progress import Watch
from steelyard.train.trained import Trained

MOST = 10_000
"""Pictures of each kind: made, real ones of the test, and ones of the training part that both are compared with."""
EPOCHS, LEAST_STEPS, BATCH = 4, 150, 128
"""Of the classifier: so many epochs, and more where that makes few steps."""


@dataclass(frozen=True)
class Judge:
    """A classifier, and what its last layer sees of pictures: its features."""

    trained: Trained

    def look(self, pixels: Array) -> tuple[Array, Array]:
        """Probabilities [n, classes] and features [n, k] of pictures, uint8 [n, height, width, channels]."""
        last = [each for each in self.trained.network.modules() if isinstance(each, nn.Linear)][-1]
        seen: list[torch.Tensor] = []
        hook = last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach().float().cpu()))
        try:
            told = self.trained.predict_proba(_of(self.trained, pixels))
        finally:
            hook.remove()
        return told, np.asarray(torch.cat(seen).numpy())


def _of(trained: Trained, pixels: Array) -> Examples:
    """Pictures without a class, as examples."""
    return Examples("images", {"image": pixels}, np.zeros(len(pixels), np.int64), trained.classes)


def judge_for(
    pair: Pair,
    data: Examples | None = None,
    folder: Path | None = None,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> Judge:
    """A classifier of what a pair learnt from: the data that its recipe names, or `data`. By the training part."""
    recipe, items = pair.run.recipe, len(pair.data.training)
    epochs = max(EPOCHS, -(-LEAST_STEPS * BATCH // items))
    judging = Recipe(
        name=f"{recipe.name}-judge",
        data=recipe.data,
        network=Chosen(name="digits-fast"),
        optimiser=Chosen(name="adamw", options={"rate": 3e-3}),
        schedule=Chosen(name="one-cycle"),
        training=Training(epochs=epochs, batch=BATCH),
        seed=recipe.seed,
    )
    return Judge(fit(judging, data, folder=folder, watch=watch, stop=stop))


def judged(pair: Pair, judge: Judge) -> SamplesJudged:
    """As many made pictures as there are real ones in the test, of the same classes, beside these."""
    parts, trained = pair.data.raw, judge.trained
    test, training = (part.some(MOST) for part in (parts.test if len(parts.test) else parts.validation, parts.training))
    _, known = judge.look(training.inputs["image"])
    made = pair.sample(test.targets, seed=pair.run.recipe.seed)
    told, _ = judge.look(made)
    right = [(told[test.targets == n].argmax(1) == n).mean() if (test.targets == n).any() else 0.0
             for n in range(len(trained.classes))]  # fmt: skip
    accuracy = float((trained.predict(test) == test.targets).mean())
    return SamplesJudged(
        judge=trained.run.network,
        judge_accuracy=accuracy,
        made=_figures(judge, made, test.targets, known),
        real=_figures(judge, test.inputs["image"], test.targets, known),
        as_asked_by_class=tuple(float(each) for each in right),
    )


def _figures(judge: Judge, pixels: Array, classes: Array, known: Array) -> Samples:
    told, features = judge.look(pixels)
    return Samples(
        items=len(pixels),
        score=classifier_score(told),
        distance=frechet_distance(features, known),
        as_asked=float((told.argmax(1) == classes).mean()),
    )
