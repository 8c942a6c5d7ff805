"""Data sets to train on: by name, with their source and licence, or a user's own. What they become is `Examples`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.errors import UsageError
from steelyard.records.dotted import found
from steelyard.records.spelling import did_you_mean

if TYPE_CHECKING:
    from steelyard.datasets.examples import Examples
    from steelyard.datasets.progress import Progress
    from steelyard.datasets.sources import DataSet

SETS: dict[str, str] = {
    "mnist": "steelyard.datasets.mnist:MNIST",
    "pneumoniamnist": "steelyard.datasets.pneumoniamnist:PNEUMONIAMNIST",
    "banking77": "steelyard.datasets.banking77:BANKING77",
    "credit-default": "steelyard.datasets.credit_default:CREDIT_DEFAULT",
    "occupancy": "steelyard.datasets.occupancy:OCCUPANCY",
    "har-watch": "steelyard.datasets.har_watch:HAR_WATCH",
}
NAMES = tuple(SETS)


def describe(name: str) -> DataSet:
    """What a data set is and where it comes from. Raises UsageError when none has this name."""
    if name not in SETS:
        raise UsageError(f"no data set is called {name!r}", did_you_mean(name, NAMES))
    dataset: DataSet = found(SETS[name])
    return dataset


def load(name: str, cache: Path | None = None, progress: Progress | None = None) -> Examples:
    """All items of a data set, checked.

    Its files come from the mirror that $STEELYARD_DATA names, from `cache`, or from the net into `cache`
    ($STEELYARD_CACHE, or the system's folder for caches); each is held against its hash. `progress` is told how far a
    download is; None shows a bar on a terminal.

    Raises UsageError for an unknown name, DataError when the files are wrong or cannot be had.
    """
    from steelyard.datasets import checking, fetching, places
    from steelyard.datasets.progress import bar

    dataset = describe(name)
    folder = cache or places.cache_folder()
    if progress is not None:
        files = fetching.obtain(dataset, folder, progress)
    else:
        with bar() as shown:
            files = fetching.obtain(dataset, folder, shown)
    examples = dataset.read(files)
    checking.check(examples, f"the data set {name}")
    return examples
