"""What the recipes for pictures, texts, tables and sequences reach, beside what they have to be held against.

| data | against |
| --- | --- |
| PneumoniaMNIST | the ResNet-18 for 28 pixels of its makers (J. Yang et al., "MedMNIST v2", Scientific Data 10, 2023) |
| banking77 | a linear head on MiniLM's features (`banking77.py`), and logistic regression on words and pairs of words |
| credit default, occupancy | gradient-boosted trees of scikit-learn on the same columns |
| watch activity | the same trees on figures of each window: mean, deviation, least, largest, change, for each channel |

Both learn from the same training items and are judged on the same test items, which chose nothing; the trees' settings
are chosen among four on the validation items. Seeds draw the parts too, where the makers gave none. Told are means over
the seeds, in brackets the worst and the best. Quality only: times here mean little.

Needs the extras `train` and `text` and STEELYARD_DATA; for MiniLM what `banking77.py` needs. About 10 minutes.

    python benchmarks/bench_training_data.py [--seeds 3] [--results training_data.jsonl] [pneumonia] [banking77] …
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import banking77
import numpy as np
import numpy.typing as npt

from steelyard.datasets.examples import Examples
from steelyard.evaluation import evaluate
from steelyard.machines.freed_memory import keep_freed_memory
from steelyard.records.evaluation import Evaluation
from steelyard.train import recipes
from steelyard.train.fitting import fit
from steelyard.train.trained import Trained

FIGURES = ("accuracy", "f1", "auroc")
Figures = dict[str, float]
Array = npt.NDArray[Any]
TREES = tuple(product((0.03, 0.1), (15, 31)))
"""Learning rates and leaves that are tried."""
PUBLISHED = {"accuracy": 0.854, "auroc": 0.944}
"""Of the ResNet-18 (28) on PneumoniaMNIST, table 3 of the paper."""


class Outcome(NamedTuple):
    """What a seed gave: the figures on the test."""

    recipe: str
    who: str
    seed: int
    figures: Figures


def figures_of(evaluation: Evaluation) -> Figures:
    found = {name: getattr(evaluation, name) for name in FIGURES}
    return {name: one.value for name, one in found.items() if one is not None}


def judged(shares: Array, test: Examples) -> Figures:
    """Of probabilities [items, classes]."""
    return figures_of(evaluate(np.asarray(shares, np.float32), test.targets, test.classes, part="test"))


# --- rivals ---------------------------------------------------------------------------------------------------------


def columns(examples: Examples) -> Array:
    """[items, columns]; words as numbers in the order of the alphabet, which trees divide as they like."""
    return np.stack([_numbered(column) for column in examples.inputs.values()], axis=1)


def _numbered(column: Array) -> Array:
    values = np.unique(column.astype(str), return_inverse=True)[1] if column.dtype == object else column
    return values.astype(np.float64)


def of_windows(examples: Examples) -> Array:
    """[items, figures]."""
    x = examples.inputs["sequence"].astype(np.float64)
    step = np.abs(np.diff(x, axis=1)).mean(1)
    return np.concatenate([x.mean(1), x.std(1), x.min(1), x.max(1), np.median(x, 1), step], axis=1)


def trees(features: Callable[[Examples], Array]) -> Callable[[Trained, int], Figures]:
    """Gradient-boosted trees, by their best settings on the validation items."""

    def train(beside: Trained, seed: int) -> Figures:
        from sklearn.ensemble import HistGradientBoostingClassifier

        training, validation, test = (beside.part(name) for name in ("training", "validation", "test"))
        x, held = features(training), features(validation)
        fitted = [
            HistGradientBoostingClassifier(learning_rate=rate, max_leaf_nodes=leaves, random_state=seed).fit(
                x, training.targets
            )
            for rate, leaves in TREES
        ]
        best = max(fitted, key=lambda one: _likelihood(one.predict_proba(held), validation.targets))
        return judged(best.predict_proba(features(test)), test)

    return train


def _likelihood(shares: Array, targets: Array) -> float:
    return float(np.log(shares[np.arange(len(targets)), targets].clip(1e-9)).mean())


def words(beside: Trained, _seed: int) -> Figures:
    """Logistic regression on the weights of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    training, test = beside.part("training"), beside.part("test")
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=30))
    model.fit(training.inputs["text"], training.targets)
    return judged(model.predict_proba(test.inputs["text"]), test)


def minilm(beside: Trained, _seed: int) -> Figures:
    """A linear head on features that MiniLM learnt from other texts; the classes are in the order of their names."""
    import onnxruntime
    from tokenizers import Tokenizer

    file = banking77.classifier()
    tokenizer = Tokenizer.from_file(str(file.with_name("tokenizer.json")))
    tokenizer.no_padding()
    session = onnxruntime.InferenceSession(str(file))
    test = beside.part("test")
    outputs = []
    for text in test.inputs["text"]:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        outputs.append(session.run(None, feed)[0][0])
    order = [sorted(test.classes).index(name) for name in test.classes]
    logits = np.array(outputs)[:, order].astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return judged(shares / shares.sum(1, keepdims=True), test)


def published(_beside: Trained, _seed: int) -> Figures:
    """What the paper tells."""
    return PUBLISHED


RIVALS: Mapping[str, Mapping[str, Callable[[Trained, int], Figures]]] = {
    "pneumonia": {"ResNet-18 (28), published": published},
    "banking77": {"MiniLM and a linear head": minilm, "words and logistic regression": words},
    "credit-default": {"gradient-boosted trees": trees(columns)},
    "watch-activity": {"gradient-boosted trees": trees(of_windows)},
    "occupancy": {"gradient-boosted trees": trees(columns)},
}
ONE_IS_ENOUGH = (published, minilm, words)
"""They do the same for each seed, as the makers gave the parts."""


def once(recipe: str, seed: int) -> list[Outcome]:
    """Ours and its rivals on the same parts."""
    trained = fit(recipes.read(recipe, {"seed": seed}))
    found = [Outcome(recipe, "ours", seed, figures_of(trained.evaluate("test")))]
    print(f"  {recipe}, seed {seed}: {found[0].figures}", file=sys.stderr, flush=True)
    for who, rival in RIVALS[recipe].items():
        if not seed or rival not in ONE_IS_ENOUGH:
            found.append(Outcome(recipe, who, seed, rival(trained, seed)))
    return found


def line(outcomes: list[Outcome]) -> str:
    """One line of the table in docs/benchmarks.md."""
    told = []
    for name in FIGURES:
        values = [each.figures[name] for each in outcomes if name in each.figures]
        spread = f" ({min(values):.3f} – {max(values):.3f})" if len(values) > 1 else ""
        told.append(f"{statistics.mean(values):.3f}{spread}" if values else "–")
    return f"| {outcomes[0].recipe} | {outcomes[0].who} | {' | '.join(told)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", choices=[[], *RIVALS], help="Which; all unless said.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path("training_data.jsonl"), help="Kept, and gone on with.")
    arguments = parser.parse_args()
    keep_freed_memory()
    known = arguments.results.read_text().splitlines() if arguments.results.exists() else []
    outcomes = [Outcome(*json.loads(each)) for each in known]
    print("| recipe | who | accuracy | F1 (macro) | AUROC |")
    print("| --- | --- | --- | --- | --- |")
    for recipe in arguments.recipes or list(RIVALS):
        for seed in range(arguments.seeds):
            if not any((each.recipe, each.seed) == (recipe, seed) for each in outcomes):
                fresh = once(recipe, seed)
                outcomes += fresh
                with arguments.results.open("a") as file:
                    file.writelines(json.dumps(each) + "\n" for each in fresh)
        for who in ("ours", *RIVALS[recipe]):
            print(line([each for each in outcomes if (each.recipe, each.who) == (recipe, who)]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
