"""Room on the disk: asked for before writing, and told in bytes when it runs out all the same."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.errors import DataError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def room(folder: Path, needed: int) -> Iterator[None]:
    """Around writing `needed` bytes into `folder`. Raises DataError when the disk has, or turns out to have, less.

    Writing is done by plain writes: on a full disk these fail, where a memory map would kill the process.
    """
    if needed > shutil.disk_usage(folder).free:
        raise _full(folder, needed)
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _full(folder, needed) from None


def _full(folder: Path, needed: int) -> DataError:
    free = shutil.disk_usage(folder).free
    return DataError(
        f"the disk under {folder} is too full: {needed} bytes are needed, {free} are free",
        "make room there, or use fewer items (`limit`)",
    )
