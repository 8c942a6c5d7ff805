"""Where validation data comes from, and what it is once it has been read."""

from __future__ import annotations

from typing import Literal

from steelyard.errors import UsageError
from steelyard.records.base import Record


class Preprocess(Record):
    """How stored values become model inputs: `(value * scale - mean) / std`, after resize and crop of images.

    Sizes are (height, width) in pixels; an integer `resize` means the shorter side. `mean` and `std` hold one
    number per channel or one for all.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    """Centre crop."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    colour: Literal["rgb", "bgr", "gray"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dtype: Literal["float32", "float16", "uint8", "int8", "int32", "int64"] | None = None
    """None: what the model's input wants."""

    def __post_init__(self) -> None:
        if any(value == 0 for value in self.std):
            raise UsageError("[preprocess] std contains 0: every value would become infinite")


class DataSpec(Record):
    """The user's data, as told on the command line or in `[data]`."""

    source: str
    """A .npz, a table (.csv, .tsv, .jsonl, .parquet), a folder of class folders, images (folder or zip) with a
    `manifest`, or `package.module:function`."""
    inputs: dict[str, str] = {}
    """Model input → array in the .npz, or column of the table (several: divided by commas). Empty: found by name, then
    by being the only one that fits."""
    labels: str | None = None
    """Array in the .npz or column; None: `labels`, `label`, `y`, `targets`, `target`, `class` are tried."""
    calibration: str | None = None
    """Array in the .npz, or a second table, set aside for calibration; None: some of the items are set aside."""
    columns: tuple[str, ...] = ()
    """Columns of the table that go side by side into the model's one input; empty: all of numbers but the labels."""
    text: tuple[str, ...] = ()
    """Columns of text for the tokenizer: one, or two for a pair."""
    tokenizer: str | None = None
    """A `tokenizer.json` that turns the text into the model's inputs."""
    max_tokens: int | None = None
    """Longer texts are cut; None: as the tokenizer's file says, or as the model's inputs do."""
    padding: bool | None = None
    """Whether items of different length may be filled up to go into the model together; None: when it has a mask."""
    missing: Literal["drop", "keep"] | None = None
    """Items with missing values in a table; None: kept when the model fills them in itself."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Exact duplicates; in a table of few values they may be honest."""
    manifest: str | None = None
    """CSV with one image per row; for a zip or folder of images."""
    classes: tuple[str, ...] = ()
    """Names of the classes in the order of the model's outputs; needed when labels are words."""
    label_offset: int = 0
    """Added to every label: -1 when the labels count from one."""
    preprocess: Preprocess = Preprocess()
    limit: int | None = None
    """Use at most this many items (drawn at random)."""
    seed: int = 0


class ArrayFile(Record):
    """One array on disk: a .npy file relative to the prepared folder; the first axis counts items.

    Where items differ in length they lie one after the other: the first axis then counts the steps of all of them, and
    `lengths` is a second file with the steps of each.
    """

    file: str
    dtype: str
    shape: tuple[int, ...]
    lengths: str | None = None
    """A .npy file, int64 [items]; None: all items are of one shape."""
    axis: int = 1
    """Of the model's input, along which the steps of an item lie (0 counts items)."""
    fill: float = 0.0
    """What an item may be filled up with."""


class Prepared(Record):
    """Validation data on disk, cleaned, shuffled by the seed and split: calibration items, then those that judge.

    Arrays `calibration/NAME.npy` and `judging/NAME.npy` per model input, and `labels.npy` (judging items only; int64
    class numbers, or float64 measured values) when there are labels. Calibration and judging items never overlap,
    duplicates included unless these were to be kept.
    """

    folder: str
    source: str
    sha256: str
    """Over the prepared contents: inputs, labels, order, split."""
    calibration: dict[str, ArrayFile]
    judging: dict[str, ArrayFile]
    labels: ArrayFile | None
    items_calibrate: int
    items_select: int
    items_confirm: int
    alone: bool = False
    """Only one item at a time may go into the model: what it answers depends on those beside it."""
    pad: bool = False
    """Items of different length may be filled up to the longest that goes into the model with them."""
    classes: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    """What cleaning found and did, one sentence each with counts."""
