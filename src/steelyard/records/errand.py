"""What is sent to another machine to be weighed there, and what comes back: JSON in both directions."""

from __future__ import annotations

from steelyard.records.base import Record
from steelyard.records.candidate import Numerics
from steelyard.records.data import Prepared
from steelyard.records.job import Job
from steelyard.records.machine import Machine
from steelyard.records.measurement import Entry
from steelyard.records.plan import SearchFigures


class Greeting(Record):
    """What a node is."""

    steelyard: str
    """Its version."""
    machine: Machine


class Parcel(Record):
    """The model's and the prepared data's files: relative path → sha256. Only contents that are missing travel."""

    files: dict[str, str]
    model: str
    """The model's main file among them."""
    prepared: Prepared
    """Its folder is relative as well."""
    variants: dict[str, str] = {}
    """The main files of models that were given as variants, by name."""


class Errand(Record):
    """One search on one machine."""

    job: Job
    parcel: Parcel
    within_s: float
    """For this search; the job's is for all of them."""
    only: tuple[Numerics, ...] | None = None
    """The share of the candidates that is to be weighed, beside the reference; None: all."""
    known: tuple[Entry, ...] = ()
    """What the ledger holds of this subject on this kind of machine."""


class Heard(Record, tag=True):
    """Progress."""

    stage: str
    text: str
    done: int = 0
    total: int = 1
    best: str = ""


class Measured(Record, tag=True):
    """One measurement, for the ledger."""

    entry: Entry


class Ended(Record, tag=True):
    """The search is over."""

    figures: SearchFigures
    dropped: dict[str, str]
    """By candidate id, why the search stopped measuring it."""
    warnings: tuple[str, ...] = ()


class Failed(Record, tag=True):
    """The search could not be made: an error by its name in `errors.BY_NAME`, others have none."""

    name: str
    message: str
    hint: str = ""


Message = Heard | Measured | Ended | Failed
