"""Every error that Steelyard raises on purpose.

    SteelyardError                  exit 1
    ├── InputError                  exit 2   the user can mend it
    │   ├── UsageError                       a flag, a setting, a unit, requirements that contradict each other
    │   ├── ModelError                       the model file or object
    │   ├── DataError                        the validation data
    │   ├── BundleError                      a bundle that is missing, changed or unreadable
    │   ├── UnknownModel                     a request for a model, or version, that is not served
    │   └── Diverged                         the loss of a training run was lost
    ├── RequirementsNotMet          exit 3   no candidate meets the requirements
    ├── CandidateFailure            (kept)   one candidate could not be built or run; the search goes on
    ├── RequestFailure              (kept)   one request could not be served; the server goes on
    │   ├── Overloaded                       the queue is full, or closed
    │   ├── Expired                          nobody waits for the answer any longer
    │   └── WorkerLost                       the process that ran it died or hung
    ├── OutOfTime                   (kept)   a step was broken off because the time for the search is up
    └── Interrupted                 exit 130 the user stopped it; what was measured is kept

A message says what was expected, what was got and where; `hint` says what to do.
"""

from __future__ import annotations

from typing import ClassVar


class SteelyardError(Exception):
    """Base of all errors raised on purpose; carries what to do about it."""

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class InputError(SteelyardError):
    """Something that the user gave is wrong and can be mended by the user."""

    exit_status = 2


class UsageError(InputError):
    """A flag, a setting or a unit is wrong, or requirements contradict each other."""


class ModelError(InputError):
    """The model cannot be used as given."""


class DataError(InputError):
    """The data cannot be used as given."""


class BundleError(InputError):
    """A bundle is missing, incomplete, changed since it was made, or cannot be written."""


class UnknownModel(InputError):  # noqa: N818 - said of what was asked for
    """No model of this name, or not in this version, is served."""


class Diverged(InputError):  # noqa: N818 - it is what training did
    """The loss is no number any longer, or grew far beyond where it began: it needs another rate, or cleaner data."""


class RequirementsNotMet(SteelyardError):  # noqa: N818 - it is an outcome, not a fault
    """No candidate meets the requirements."""

    exit_status = 3


class Interrupted(SteelyardError):  # noqa: N818 - it is an outcome, not a fault
    """The user asked to stop; everything measured so far has been kept."""

    exit_status = 130


class OutOfTime(SteelyardError):  # noqa: N818 - it is an outcome, not a fault
    """The time allowed for the search was up before a step was done; everything measured before has been kept."""


class RequestFailure(SteelyardError):  # noqa: N818 - it is told to one caller
    """One request could not be served."""


class Overloaded(RequestFailure):
    """The queue is full, or takes no more requests."""

    def __init__(self, message: str, hint: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s
        """When it is worth trying again."""


class Expired(RequestFailure):
    """The request was not served in the time that its caller waits."""


class WorkerLost(RequestFailure):
    """The process that ran the request's batch died, or hung and was killed."""


class CandidateFailure(SteelyardError):  # noqa: N818 - it is recorded, not reported as an error
    """One candidate could not be built or run. `kind` is one of the failure kinds in `records.measurement`."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind


BY_NAME: dict[str, type[SteelyardError]] = {
    kind.__name__: kind
    for kind in (
        InputError,
        UsageError,
        ModelError,
        DataError,
        BundleError,
        RequirementsNotMet,
        Interrupted,
        Diverged,
    )
}
"""The errors that may cross from a child process to its parent (by name, never as pickled objects)."""
