"""What each variant of a model takes to make, keeps of the original's answers, and gains in time.

    python benchmarks/bench_variants.py [mnist] [efficientnet] [lstm] [--only NAME …] [--items 500]

Every variant that is tried on the model is made as a weighing makes it, with calibration items that take no part in
judging, and held against the model as given in the same runtime family: the share of items to which it gives the
original's answer, and the median of batch-1 service times in turns with the original's (one thread, 60 runs). Takes
about 12 minutes for all three models on two quiet cores. The shared models and pictures are found as in the tests,
through STEELYARD_DATA.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from steelyard.assets import mnist_model, mnist_test
from steelyard.errors import SteelyardError
from steelyard.machines.here import this_machine
from steelyard.models.inspect import inspect
from steelyard.records.engine import Array, Session, SessionSettings
from steelyard.runtimes import RUNTIMES, open_session
from steelyard.subjects.space import space
from steelyard.variants import VARIANTS, chain, make_step

DATA = Path(os.environ.get("STEELYARD_DATA") or Path(__file__).parents[2] / "shared" / "data")
MODELS = DATA.parent / "models"
CALIBRATION = 100
RUNS = 60

Items = Mapping[str, Array]


def mnist(items: int) -> tuple[Path, Items]:
    with np.load(mnist_test(), allow_pickle=False) as stored:
        return mnist_model(), {"image": stored["x"][: CALIBRATION + items].astype(np.float32) / 255}


def lstm(items: int) -> tuple[Path, Items]:
    with np.load(MODELS / "lstm_10class.npz", allow_pickle=False) as stored:
        both = np.concatenate([stored["cal"][:CALIBRATION], stored["ev"][:items]])
    return MODELS / "lstm_10class.onnx", {"x": both}


def efficientnet(items: int) -> tuple[Path, Items]:
    from PIL import Image

    folder = DATA / "imagenet1000"
    with (folder / "labels.csv").open(newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    chosen = np.random.default_rng(0).permutation(len(names))[: CALIBRATION + items]
    read = []
    with zipfile.ZipFile(folder / "images.zip") as archive:
        for at in chosen:
            picture = Image.open(io.BytesIO(archive.read(names[at]))).convert("RGB")
            pixels = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
            read.append(((pixels - 127) / 128).transpose(2, 0, 1))
    return MODELS / "efficientnet_lite0.onnx", {"input": np.stack(read)}


CASES = {"mnist": mnist, "efficientnet": efficientnet, "lstm": lstm}


def part(items: Items, first: int, last: int | None) -> Items:
    return {name: values[first:last] for name, values in items.items()}


def classes(session: Session, items: Items) -> Array:
    count = len(next(iter(items.values())))
    return np.concatenate([session.run(0, part(items, at, at + 8))[0].argmax(axis=1) for at in range(0, count, 8)])


def built(name: str, source: Path, folder: Path, calibration: Items, steps: dict[str, tuple[Path, float]]) -> Path:
    """The variant, made step by step; steps that others took before are not taken again."""
    for spec in chain(name):
        if spec.name not in steps:
            start = time.perf_counter()
            made = make_step(spec.name, source, folder / spec.name, calibration)
            steps[spec.name] = (made, time.perf_counter() - start)
        source = steps[spec.name][0]
    return source


def in_turns(one: Session, other: Session, item: Items) -> tuple[float, float]:
    """Median milliseconds of both, run one after the other again and again."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for session, kept in zip((one, other), times, strict=True):
            start = time.perf_counter()
            session.run(0, item)
            kept.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[0]), statistics.median(times[1])


def compare(case: str, only: list[str], items: int) -> None:
    source, both = CASES[case](items)
    calibration, judging = part(both, 0, CALIBRATION), part(both, CALIBRATION, None)
    original = open_session("onnxruntime", source, SessionSettings())
    expected = classes(original, judging)
    candidates = space(inspect({"path": str(source)}), this_machine())
    tried = list(dict.fromkeys((c.variant, c.runtime, c.precision) for c in candidates))
    steps: dict[str, tuple[Path, float]] = {}
    print(f"\n{case}: {len(tried)} kinds of numerics, {CALIBRATION} calibration items, {len(expected)} judging")
    heads = ("made in s", "agrees", "ms", "original", "gain")
    print(f"{'variant':24} {'runtime':14} {'precision':9} " + " ".join(f"{head:>9}" for head in heads))
    with tempfile.TemporaryDirectory() as folder:
        for variant, runtime, precision in tried:
            if RUNTIMES[runtime].package == "torch" or (only and variant not in only):
                continue
            try:
                made = built(variant, source, Path(folder), calibration, steps)
            except SteelyardError as error:
                print(f"{variant:24} {runtime:14} {precision:9} refused: {error.message}")
                continue
            session = open_session(runtime, made, SessionSettings(precision=precision))
            kept = float((classes(session, judging) == expected).mean())
            ms, reference = in_turns(session, original, part(judging, 0, 1))
            seconds = sum(steps[spec.name][1] for spec in chain(variant))
            print(
                f"{variant:24} {runtime:14} {precision:9} {seconds:9.1f} {kept:9.3f} "
                f"{ms:9.3f} {reference:9.3f} {reference / ms:9.2f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
    parser.add_argument("--only", nargs="*", default=[], choices=list(VARIANTS))
    parser.add_argument("--items", type=int, default=500)
    arguments = parser.parse_args()
    for case in arguments.cases or CASES:
        compare(case, arguments.only, arguments.items)


if __name__ == "__main__":
    main()
