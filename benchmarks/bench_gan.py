"""Whether made-up pictures help a class of which there are few: a DCGAN's digits against simpler ways.

Of MNIST's training items 9,000 are kept, and of one digit 50; five ways to train the same classifier (`digits-fast`,
as many steps each) are judged by that digit's recall and F1 on the whole test part:

    plain       as they are
    weights     the loss weighs classes by their rarity
    resample    classes are drawn equally often
    affine      the same, and every picture is turned, scaled and shifted a little
    made        a DCGAN is trained on the same items, and fills the rare class up with its pictures

    STEELYARD_DATA=… python benchmarks/bench_gan.py [--seeds 3]

Each seed has another rare digit and other items. Seeds run side by side, with one thread each: about 9 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

KEPT, RARE, FILLED = 9_000, 50, 900
"""Training items all in all; of the rare digit; and of it once made ones are added."""
DIGITS = (8, 5, 3, 2, 9, 4)
"""The rare one, seed by seed."""
WAYS = ("plain", "weights", "resample", "affine", "made")
EPOCHS, PAIR_EPOCHS = 8, 20
SIDE_BY_SIDE = 3


def data_of(seed: int, rare: int) -> Any:
    """Training items of which few are of the rare digit, some to validate, and the whole test part."""
    from steelyard import datasets
    from steelyard.datasets.examples import TEST, TRAINING, VALIDATION

    every = datasets.load("mnist")
    assert every.parts is not None
    rng = np.random.default_rng(seed)
    training = rng.permutation(np.flatnonzero(every.parts == TRAINING))
    few = training[every.targets[training] == rare][:RARE]
    others = training[every.targets[training] != rare]
    rows = np.concatenate([few, others[: KEPT - RARE], others[KEPT : KEPT + 500], np.flatnonzero(every.parts == TEST)])
    parts = np.repeat([TRAINING, VALIDATION, TEST], [KEPT, 500, int((every.parts == TEST).sum())])
    chosen = every.take(rows)
    return type(every)("images", chosen.inputs, chosen.targets, every.classes, parts=parts.astype(np.int8))


def classifier_recipe(way: str, seed: int) -> Any:
    """The same for all ways but for what the way is."""
    from steelyard.records.recipe import Chosen, DataChoice, Recipe, Training

    turned = (Chosen(name="affine", options={"rotate": 10, "scale": 0.1, "shift": 0.07}),) if way == "affine" else ()
    balance = {"weights": "weights", "resample": "resample", "affine": "resample"}.get(way, "none")
    return Recipe(
        name=way,
        data=DataChoice(own={"source": "given"}),
        network=Chosen(name="digits-fast"),
        optimiser=Chosen(name="adamw", options={"rate": 3e-3}),
        schedule=Chosen(name="one-cycle"),
        training=Training(epochs=EPOCHS, batch=128, keep="last"),
        augment=turned,
        balance=Chosen(name=balance),
        seed=seed,
    )


def filled_up(data: Any, seed: int, rare: int) -> tuple[Any, float]:
    """The same items, and made ones of the rare digit; and how long that took, in seconds."""
    import msgspec

    from steelyard.datasets.examples import TRAINING, joined
    from steelyard.records.recipe import Chosen
    from steelyard.train import recipes
    from steelyard.train.adversarial import fit_pair

    began = time.perf_counter()
    recipe = recipes.read("digits-gan", {"training.epochs": PAIR_EPOCHS, "network.width": 16, "seed": seed})
    pair = fit_pair(msgspec.structs.replace(recipe, balance=Chosen(name="resample")), data)
    asked = np.full(FILLED - RARE, rare, np.int64)
    made = type(data)(
        "images", {"image": pair.sample(asked, seed)}, asked, data.classes,
        parts=np.full(len(asked), TRAINING, np.int8),
    )  # fmt: skip
    return joined([data, made]), time.perf_counter() - began


def one_seed(seed: int) -> dict[str, Any]:
    """Way → recall, F1 and accuracy of all."""
    from steelyard.train.fitting import fit

    rare = DIGITS[seed % len(DIGITS)]
    data, found = data_of(seed, rare), {}
    for way in WAYS:
        seen, seconds = filled_up(data, seed, rare) if way == "made" else (data, 0.0)
        evaluation = fit(classifier_recipe(way, seed), seen).evaluate()
        assert evaluation.accuracy is not None
        own = evaluation.by_class[rare]
        found[way] = {
            "recall": own.recall.value, "f1": own.f1.value, "accuracy": evaluation.accuracy.value, "seconds": seconds,
        }  # fmt: skip
    return {"seed": seed, "rare": rare, "ways": found}


def every_seed(seeds: int) -> list[dict[str, Any]]:
    """In processes of their own, some side by side."""
    found = []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for first in range(0, seeds, SIDE_BY_SIDE):
        running = [
            subprocess.Popen(
                [sys.executable, __file__, "--one", str(seed)], env=environment, stdout=subprocess.PIPE, text=True
            )
            for seed in range(first, min(first + SIDE_BY_SIDE, seeds))
        ]
        found += [json.loads(each.communicate()[0].splitlines()[-1]) for each in running]
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Markdown: means over seeds, what each seed gave, and the difference to plain."""
    lines = ["| way | recall of the rare digit | by seed | F1 | accuracy of all |", "| --- | --- | --- | --- | --- |"]
    for way in WAYS:
        each = [one["ways"][way] for one in found]
        means = {name: float(np.mean([one[name] for one in each])) for name in ("recall", "f1", "accuracy")}
        spread = ", ".join(f"{one['recall']:.3f}" for one in each)
        lines.append(
            f"| {way} | {means['recall']:.3f} | {spread} | {means['f1']:.3f} | {means['accuracy']:.4f} |"
        )  # fmt: skip
    return "\n".join(lines)


def paired(found: list[dict[str, Any]], way: str, other: str) -> Mapping[str, float]:
    """How much more recall one way has than another: mean, least and most over the seeds."""
    more = [one["ways"][way]["recall"] - one["ways"][other]["recall"] for one in found]
    return {"mean": float(np.mean(more)), "least": min(more), "most": max(more)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--one", type=int)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.one is not None:
        print(json.dumps(one_seed(asked.one)))
        return
    found = every_seed(asked.seeds)
    print("rare digits:", ", ".join(str(one["rare"]) for one in found))
    print(table(found))
    for other in ("plain", "resample", "affine"):
        print(f"made over {other}:", {name: round(value, 3) for name, value in paired(found, "made", other).items()})
    print("training a pair took", [round(one["ways"]["made"]["seconds"]) for one in found], "s")
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
