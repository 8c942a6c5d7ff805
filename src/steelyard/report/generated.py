"""The report of a pair of adversarial networks as one HTML file: what it makes, and how good that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from steelyard import numbers
from steelyard.records.base import Record
from steelyard.records.engine import Array
from steelyard.records.generating import PairEpoch, PairRun, SamplesJudged
from steelyard.report.page import templates
from steelyard.report.training import HEIGHT, MARGIN, WIDTH, Curves, chart, picture


class Row(Record):
    """One figure: of what was made, and of real pictures."""

    label: str
    made: str
    real: str
    note: str


def render_generated(run: PairRun, grid: Sequence[tuple[str, Array]]) -> str:
    """The whole page; nothing is fetched. `grid`: class and its pictures, uint8 [n, height, width, channels]."""
    context: dict[str, Any] = {
        "run": run,
        "grid": [(name, [picture(pixels) for pixels in some]) for name, some in grid],
        "rows": tuple(rows(run.judged)) if run.judged else (),
        "chart": loss_chart(run.epochs) if len(run.epochs) > 1 else None,
        "count": numbers.count,
        "seconds": numbers.seconds,
        "percent": numbers.percent,
        "width": WIDTH,
        "height": HEIGHT,
        "margin": MARGIN,
    }
    return templates().get_template("generated.html").render(context)


def loss_chart(epochs: tuple[PairEpoch, ...]) -> Any:
    """Both losses over the epochs."""
    losses: Curves = {
        "discriminator": [each.discriminator_loss for each in epochs],
        "generator": [each.generator_loss for each in epochs],
    }
    return chart("loss", len(epochs), losses)


def rows(judged: SamplesJudged) -> Iterator[Row]:
    """The figures, with what they mean."""
    made, real = judged.made, judged.real
    yield Row(
        label="classifier score",
        made=f"{made.score:.2f}",
        real=f"{real.score:.2f}",
        note="higher is better: each picture surely of one class, all classes alike",
    )
    yield Row(
        label="Fréchet distance",
        made=f"{made.distance:.2f}",
        real=f"{real.distance:.2f}",
        note="lower is better: to pictures of the training part, by the classifier's features",
    )
    yield Row(
        label="told to be of its class",
        made=numbers.percent(made.as_asked),
        real=numbers.percent(real.as_asked),
        note="made: of the class asked for; real: of the class labelled",
    )
