"""Where a data set comes from: the files that its makers publish, and what they must hash to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from steelyard.datasets.examples import Examples

_BLOCK = 2**20


@dataclass(frozen=True)
class Remote:
    """One file that is published somewhere."""

    name: str
    """In the cache, and in a mirror."""
    digests: tuple[str, ...]
    """`sha256:…`, or `md5:…` where its makers publish no other. Any of them will do: a mirror may have packed the same
    contents anew."""
    urls: tuple[str, ...] = ()
    """Tried in this order. None: it lies in mirrors only."""


@dataclass(frozen=True)
class DataSet:
    """A data set by name."""

    name: str
    about: str
    """One line: what it is, how many items."""
    licence: str
    source: str
    """A page that tells about it."""
    folder: str
    """In the cache, and in a mirror."""
    ways: tuple[tuple[Remote, ...], ...]
    """Files that together are the data set; several ways to get the same."""
    read: Callable[[Mapping[str, Path]], Examples]
    """The items from files by name."""


def digest(path: Path, algorithm: str) -> str:
    """`ALGORITHM:hex` of a file's contents."""
    found = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return f"{algorithm}:{found.hexdigest()}"


def is_whole(path: Path, remote: Remote) -> bool:
    """Whether a file's contents are what they should be."""
    algorithms = {expected.partition(":")[0] for expected in remote.digests}
    return any(digest(path, algorithm) in remote.digests for algorithm in sorted(algorithms))
