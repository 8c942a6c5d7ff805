"""A metric of the user's own: `package.module:function` with the signature `function(answers, targets) -> float`."""

from __future__ import annotations

import hashlib
import inspect
import math
import numbers
import traceback
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from steelyard.errors import CandidateFailure, UsageError
from steelyard.metrics import Targets
from steelyard.metrics.outputs import number_answers
from steelyard.records.dotted import PATTERN, NoFunction, users_function
from steelyard.records.engine import Array

OWN_FAULT = "this is an error in your own metric; it gets answers and targets, one row per item, and returns a number"

Function = Callable[[Array, Array], Any]


def own_metric(name: str) -> OwnMetric:
    """The metric at this dotted path; it is imported once it is needed. Raises UsageError for what is no path."""
    if not PATTERN.fullmatch(name):
        raise UsageError(f"{name!r} names no metric", "expected package.module:function, for example mymetrics:score")
    return OwnMetric(name)


class OwnMetric:
    """Answers are the model's first output as it is; targets the labels, or without any the reference's answers.

    The function may carry the attribute `greater_is_better = False`: then it is an error, the lower the better.
    """

    targets: ClassVar[Targets] = "any"

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def function(self) -> Function:
        """The user's function. Raises UsageError when it cannot be imported or is none."""
        try:
            return users_function(self.name)
        except NoFunction as error:
            hint = error.hint and f"{error.hint}; known metrics need no colon"
            raise UsageError(error.message, hint) from None
        except (Exception, SystemExit) as error:
            raise UsageError(f"{self.name} cannot be imported: {_told(error)}", OWN_FAULT) from None

    @property
    def lower_is_better(self) -> bool:
        """As the function says."""
        return not getattr(self.function, "greater_is_better", True)

    @property
    def source_hash(self) -> str:
        """sha256 of the file that holds the function: an edit makes it another metric."""
        try:
            file = inspect.getsourcefile(inspect.unwrap(self.function))
        except TypeError:
            file = None
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""

    def answers(self, outputs: Sequence[Array]) -> Array:
        """The first output as it is."""
        return number_answers(outputs)

    def missing(self, answers: Array, truth: Array) -> str:
        """Nothing is known of what it needs."""
        return ""

    def correct(self, answers: Array, truth: Array) -> None:
        """None: nothing is known of single items."""

    def value(self, answers: Array, truth: Array) -> float:
        """What the function returns. Raises CandidateFailure("invalid") when it raises or returns no finite number."""
        try:
            found = self.function(answers.copy(), truth.copy())
        except (Exception, SystemExit) as error:
            raise CandidateFailure("invalid", _fault(error, self.name), OWN_FAULT) from None
        number = found.item() if getattr(found, "ndim", None) == 0 else found
        if type(number) is bool or not isinstance(number, numbers.Real):
            told = f"an array of shape {list(found.shape)}" if hasattr(found, "shape") else f"{found!r:.80}"
            raise CandidateFailure("invalid", f"the metric {self.name} returned {told}, expected a number", OWN_FAULT)
        if not math.isfinite(number):
            raise CandidateFailure("invalid", f"the metric {self.name} returned {number}", OWN_FAULT)
        return float(number)


def _fault(error: BaseException, name: str) -> str:
    return f"the metric {name} raised {_told(error)}"


def _told(error: BaseException) -> str:
    """The exception with the last line of code that is not ours."""
    message = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) != Path(__file__)]
    frames = [f for f in frames if not f.filename.startswith("<")]
    return f"{message} ({frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line})" if frames else message
