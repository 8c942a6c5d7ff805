"""What a network looks at, as pictures and bars of the training report."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from steelyard.records.base import Record
from steelyard.records.engine import Array
from steelyard.train.explained import Explained, Explanation

ADDS, TAKES = (0, 103, 165), (184, 67, 11)
"""Colours of what speaks for the answer and of what speaks against it, red green blue."""
SIDE = 140
"""Pixels that a shown picture has at least on its shorter side."""
SHARPEST = 99.0
"""The percentile of magnitudes that is shown in full colour: single pixels shall not pale all others."""
MOST_COLUMNS = 30
STRIP_WIDTH, STRIP_HEIGHT = 320, 56
"""Of one channel of a sequence."""


class Bar(Record):
    """One part of an item, or a column."""

    name: str
    share: float
    """Of the largest, 0 to 1."""
    value: str
    adds: bool = True


class Strip(Record):
    """One channel of a sequence: its course, over colours of what each step adds."""

    name: str
    picture: str
    path: str


class Looked(Record):
    """One item as it is shown. What its kind does not have is empty."""

    row: int
    truth: str
    told: str
    is_right: bool
    picture: str = ""
    adds: str = ""
    seen: str = ""
    strips: tuple[Strip, ...] = ()
    bars: tuple[Bar, ...] = ()
    words: tuple[Bar, ...] = ()


class Looks(Record):
    """All that is shown of what a network looks at."""

    items: tuple[Looked, ...]
    columns: tuple[Bar, ...]
    judged: int
    baseline: str
    layer: str
    gap: float


def looked_at(found: Explanation, inputs: Mapping[str, Array]) -> Looks:
    """`inputs`: the raw ones of the part that was explained."""
    return Looks(
        items=tuple(_items(found, inputs)),
        columns=_columns(found),
        judged=found.judged,
        baseline=found.baseline,
        layer=found.layer,
        gap=found.gap,
    )


def _items(found: Explanation, inputs: Mapping[str, Array]) -> Iterator[Looked]:
    for item in found.items:
        shown: dict[str, Any] = {"row": item.row, "truth": item.truth, "told": item.told, "is_right": item.is_right}
        match found.kind:
            case "images":
                yield Looked(**shown | _pictures(item, inputs["image"][item.row]))
            case "sequences":
                yield Looked(**shown, strips=tuple(_strips(item, found.names, inputs["sequence"][item.row])))
            case "text":
                yield Looked(**shown, words=tuple(_words(item)))
            case _:
                values = [inputs[name][item.row] for name in found.names]
                yield Looked(**shown, bars=tuple(_bars(found.names, item.added, values)))


def _columns(found: Explanation) -> tuple[Bar, ...]:
    """The columns of a table, the weightiest first."""
    order = np.argsort([-weight for weight in found.weights], kind="stable")[:MOST_COLUMNS]
    most = max(found.weights, default=0.0) or 1.0
    return tuple(
        Bar(name=found.names[i], share=found.weights[i] / most, value=f"{found.weights[i]:.3g}") for i in order
    )


def _pictures(item: Explained, pixels: Array) -> dict[str, str]:
    gray = _stretched(pixels.astype(np.float64).mean(-1))
    plain = np.repeat(gray[..., None], 3, -1) if pixels.shape[-1] == 1 else _stretched(pixels[..., :3])
    pictures = {"picture": _png(plain * 255), "adds": _png(coloured(item.added, gray))}
    if item.seen is not None:
        share = item.seen[..., None]
        pictures["seen"] = _png(np.repeat(gray[..., None], 3, -1) * 255 * (1 - 0.75 * share) + 0.75 * share * ADDS)
    return pictures


def coloured(added: Array, gray: Array) -> Array:
    """Blue for what adds, red for what takes away, the stronger the more, over a faint picture: [h, w, 3], 0 to 255."""
    strength = np.clip(np.abs(added) / (float(np.percentile(np.abs(added), SHARPEST)) or 1.0), 0, 1)[..., None]
    colour = np.where((added > 0)[..., None], np.array(ADDS, np.float64), np.array(TAKES, np.float64))
    faint = 255 - 60 * np.repeat(gray[..., None], 3, -1)
    return np.asarray(faint * (1 - strength) + colour * strength)


def _strips(item: Explained, names: tuple[str, ...], values: Array) -> Iterator[Strip]:
    steps = len(item.added)
    for channel, name in enumerate(names):
        course = _stretched(values[:steps, channel].astype(np.float64))
        points = (
            f"{STRIP_WIDTH * (i + 0.5) / steps:.1f} {STRIP_HEIGHT * (0.92 - 0.84 * value):.1f}"
            for i, value in enumerate(course)
        )
        # One scale of colours for all channels: they are parts of one sum.
        strength = item.added / (float(np.percentile(np.abs(item.added), SHARPEST)) or 1.0)
        line = coloured_line(strength[:, channel])
        yield Strip(name=name, picture=_png(line, enlarged=False), path="M" + " L".join(points))


def coloured_line(strength: Array) -> Array:
    """[1, steps, 3], 0 to 255, of strengths from -1 to 1."""
    share = np.clip(np.abs(strength), 0, 1)[None, :, None]
    colour = np.where((strength > 0)[None, :, None], np.array(ADDS, np.float64), np.array(TAKES, np.float64))
    return np.asarray(255 * (1 - 0.8 * share) + colour * 0.8 * share)


def _words(item: Explained) -> Iterator[Bar]:
    most = float(np.abs(item.added).max()) or 1.0
    for name, added in zip(item.names, item.added, strict=True):
        if name:
            yield Bar(name=name, share=abs(float(added)) / most, value=f"{added:+.3g}", adds=bool(added > 0))


def _bars(names: tuple[str, ...], added: Array, values: list[object]) -> Iterator[Bar]:
    """The columns that mattered most."""
    most = float(np.abs(added).max()) or 1.0
    for i in np.argsort(-np.abs(added), kind="stable")[:5]:
        told = f"{values[i]:.6g}" if isinstance(values[i], float | np.floating) else str(values[i])
        yield Bar(
            name=f"{names[i]} = {told}", share=abs(float(added[i])) / most, value=f"{added[i]:+.3g}", adds=added[i] > 0
        )


def _stretched(values: Array) -> Array:
    values = values.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / ((high - low) or 1.0))


def _png(pixels: Array, enlarged: bool = True) -> str:
    """[height, width, 3], 0 to 255, as a `data:` address."""
    from PIL import Image

    image = Image.fromarray(np.asarray(np.clip(pixels, 0, 255), np.uint8))
    if enlarged and min(image.size) < SIDE:
        factor = -(-SIDE // min(image.size))
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    packed = io.BytesIO()
    image.save(packed, "PNG")
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()
