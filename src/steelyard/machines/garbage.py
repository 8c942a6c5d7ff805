"""Keep the garbage collector from what was set up before a clock runs."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_garbage_of_ours() -> Iterator[None]:
    """What was set up before is not looked through by the garbage collector meanwhile."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
