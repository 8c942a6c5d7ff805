"""What training gives: a network with its preparation, that answers, is judged, exported and weighed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steelyard.datasets.examples import Array, Examples
from steelyard.errors import UsageError
from steelyard.preparation.steps import apply_all
from steelyard.records.dotted import found
from steelyard.records.evaluation import Evaluation
from steelyard.records.training import Run
from steelyard.train.data import Prepare
from steelyard.train.loop import outputs_of
from steelyard.train.shaping import items_of

WEIGH = "steelyard.api:weigh"
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class Trained:
    """A trained network. The manners are scikit-learn's: `predict`, `predict_proba`, and `evaluate` for `score`."""

    network: torch.nn.Module
    """In evaluation mode, with the weights that were kept."""
    data: Prepare
    run: Run

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the network's outputs; empty for measured values."""
        return self.run.data.classes

    def outputs(self, examples: Examples) -> Array:
        """What the network gives for raw items: float32 [items, outputs]."""
        prepared = apply_all(self.data.prepared, examples)
        device = next(self.network.parameters()).device
        items = items_of(prepared, self.data.prepared.serving).to(device)
        return np.asarray(outputs_of(self.network, items).float().cpu().numpy())

    def predict(self, examples: Examples) -> Array:
        """Class numbers int64 [items], or values float32 [items] (or [items, values])."""
        outputs = self.outputs(examples)
        if self.classes:
            return np.asarray(outputs.argmax(axis=1), np.int64)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def predict_proba(self, examples: Examples) -> Array:
        """Probabilities of the classes, float32 [items, classes]. Raises UsageError for measured values."""
        if not self.classes:
            raise UsageError("measured values have no probabilities", "use predict")
        outputs = self.outputs(examples)
        shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)

    def part(self, name: str) -> Examples:
        """The raw items of a part of the data. Raises UsageError for another name."""
        if name not in PARTS:
            raise UsageError(f"there is no part {name!r}", f"there are {', '.join(PARTS)}")
        return self.data.raw.named[name]

    def evaluate(self, part: str = "test", examples: Examples | None = None) -> Evaluation:
        """Everything that is told of how right it is, on a part of its data or on raw `examples`."""
        from steelyard.evaluation import evaluate

        judged = self.part(part) if examples is None else examples
        answers = self.predict_proba(judged) if self.classes else self.predict(judged)
        return evaluate(answers, judged.targets, self.classes, part=part, groups=judged.groups)

    def export(self, folder: str | Path) -> Path:
        """Write the network as ONNX with all that belongs to it into `folder`. See `train.export.export`."""
        from steelyard.train.export import export

        return export(self, Path(folder))

    def weigh(self, folder: str | Path, **words: Any) -> Any:
        """Export into `folder` and find the cheapest way to run it: a `Balance`; `words` as in `steelyard.weigh`."""
        from steelyard.train.export import TEST

        model = self.export(folder)
        weigh = found(WEIGH)  # stands above training, which knows nothing of it until it is asked for
        return weigh(model, model.with_name(TEST), **words)
