"""Functions and classes by their dotted path: `package.module:name`. Ours, and those of the user's own."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class NoFunction(Exception):  # noqa: N818 - whoever looked for it tells what kind of error that is
    """There is no function at the path: `message` says what there is, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def found(dotted: str) -> Any:
    """What one of our own tables names. Raises as importing does."""
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)


def users_function(dotted: str) -> Callable[..., Any]:
    """The function at `dotted`, whose module may lie in the folder that the program runs in.

    Raises NoFunction when there is none, and whatever the module raises when it is imported.
    """
    module, _, name = dotted.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise NoFunction(
            f"{dotted}: there is no module {error.name!r}",
            "run from the folder that holds it, or set PYTHONPATH to that folder",
        ) from None
    if not callable(function):
        what = "nothing" if function is None else f"a {type(function).__name__}"
        raise NoFunction(f"{dotted}: the module {module} has {what} named {name!r}, expected a function")
    return function  # type: ignore[no-any-return]
