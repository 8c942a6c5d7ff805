"""The report of a training run as one HTML file: how right, for whom, by which way, and where it errs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from steelyard import numbers
from steelyard.records.base import Record
from steelyard.records.engine import Array
from steelyard.records.evaluation import Evaluation, Interval
from steelyard.records.training import Run
from steelyard.report.looking import Looks
from steelyard.report.page import templates
from steelyard.train.card import told_privacy

WIDTH, HEIGHT, MARGIN = 560, 200, 44
"""Of a chart, in its own units."""
LEAST_SIDE = 84
"""Pixels: smaller pictures are enlarged without smoothing."""
MOST_IN_MATRIX = 30

TILES = {
    "accuracy": "accuracy", "f1": "F1, mean over classes", "recall": "recall, mean over classes",
    "precision": "precision, mean over classes", "auroc": "AUROC", "calibration_error": "calibration error",
    "r2": "R²", "mae": "mean absolute error", "mse": "mean squared error",
}  # fmt: skip


Curves = Mapping[str, Sequence[float | None]]
"""Name of a curve → its value in each epoch."""


class Tile(Record):
    """One figure with its limits."""

    label: str
    value: str
    note: str


class Line(Record):
    """One curve of a chart, as an SVG path."""

    name: str
    role: str
    path: str


class Chart(Record):
    """Curves over epochs."""

    title: str
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    """Height in the chart, and what stands there."""
    text: str


def render(
    run: Run, evaluation: Evaluation, pictures: Mapping[int, str] | None = None, looks: Looks | None = None
) -> str:
    """The whole page; nothing is fetched.

    `pictures`: row of a mistake → `data:` address of what it shows; `looks`: what the network looks at, if that is
    wanted.
    """
    matrix = evaluation.confusion if len(evaluation.classes) <= MOST_IN_MATRIX else ()
    context: dict[str, Any] = {
        "run": run,
        "evaluation": evaluation,
        "tiles": tuple(tiles(evaluation)),
        "charts": tuple(charts(run)),
        "matrix": [_shaded(row) for row in matrix],
        "told": told,
        "count": numbers.count,
        "percent": numbers.percent,
        "seconds": numbers.seconds,
        "pictures": dict(pictures or {}),
        "looks": looks,
        "privacy": () if run.privacy is None else tuple(told_privacy(run.privacy)),
        "width": WIDTH,
        "height": HEIGHT,
        "margin": MARGIN,
    }
    return templates().get_template("training.html").render(context)


def tiles(evaluation: Evaluation) -> Iterator[Tile]:
    """The figures that there are, most asked for first."""
    for name, label in TILES.items():
        found: Interval | None = getattr(evaluation, name)
        if found is not None:
            yield Tile(label=label, value=_figure(name, found.value), note=f"95% limits: {_limits(name, found)}")


def told(found: Interval | None) -> str:
    """A share with its limits, for a table."""
    return "–" if found is None else f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _figure(name: str, value: float) -> str:
    return numbers.percent(value) if name == "accuracy" else numbers.significant(value)


def _limits(name: str, found: Interval) -> str:
    return f"{_figure(name, found.low)} to {_figure(name, found.high)}"


def charts(run: Run) -> Iterator[Chart]:
    """Loss and metric over the epochs; nothing for a single one."""
    if len(run.epochs) < 2:
        return
    losses: Curves = {"training": [e.loss for e in run.epochs], "validation": [e.validation_loss for e in run.epochs]}
    yield chart("loss", len(run.epochs), losses)
    judged: Curves = {"validation": [e.validation for e in run.epochs]}
    if judged["validation"][0] is not None:
        yield chart(run.metric, len(run.epochs), judged)


def chart(title: str, epochs: int, curves: Curves) -> Chart:
    """Up to two curves over so many epochs, two or more."""
    known = {name: [v for v in values if v is not None] for name, values in curves.items()}
    known = {name: values for name, values in known.items() if values}
    lowest, highest = min(map(min, known.values())), max(map(max, known.values()))
    span = (highest - lowest) or 1.0

    def place(number: int, value: float) -> str:
        x = MARGIN + (WIDTH - MARGIN - 8) * number / (epochs - 1)
        return f"{x:.1f} {_height((value - lowest) / span):.1f}"

    lines = tuple(
        Line(name=name, role=role, path="M" + " L".join(place(i, value) for i, value in enumerate(values)))
        for (name, values), role in zip(known.items(), ("reference", "chosen"), strict=False)
    )
    ticks = tuple((_height(share), numbers.significant(lowest + share * span)) for share in (0.0, 0.5, 1.0))
    ends = ", ".join(f"{name} {numbers.significant(v[0])} to {numbers.significant(v[-1])}" for name, v in known.items())
    return Chart(title=title, lines=lines, ticks=ticks, text=f"{title} from epoch 1 to {epochs}: {ends}")


def _height(share: float) -> float:
    return HEIGHT - 24 - (HEIGHT - 36) * share


def _shaded(row: tuple[int, ...]) -> list[tuple[int, float]]:
    """Items, and their share of the row."""
    total = sum(row) or 1
    return [(count, count / total) for count in row]


def picture(pixels: Array) -> str:
    """A picture, uint8 or float [height, width, channels], as a `data:` address."""
    from PIL import Image

    shown = pixels if pixels.dtype == np.uint8 else _stretched(pixels)
    image = Image.fromarray(shown[..., 0] if shown.shape[-1] == 1 else shown[..., :3])
    if min(image.size) < LEAST_SIDE:
        factor = -(-LEAST_SIDE // min(image.size))
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    packed = io.BytesIO()
    image.save(packed, "PNG")
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()


def _stretched(values: Array) -> Array:
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / ((high - low) or 1.0) * 255, np.uint8)
