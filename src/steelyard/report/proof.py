"""The foot of the report: what was demanded, what judged, on which machine, at which price, by which search."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from steelyard import numbers
from steelyard.records.base import Record
from steelyard.records.plan import Plan
from steelyard.report import wording

SHORT = 12
"""Characters of a hash that are shown; the whole appears on hover."""


class Fact(Record):
    """One line of a list of facts; a hash is shown short."""

    name: str
    text: str
    hash: str = ""

    @property
    def short(self) -> str:
        """The beginning of the hash."""
        return self.hash[:SHORT]


class Facts(Record):
    """A titled list of facts, and sentences below it."""

    title: str
    facts: tuple[Fact, ...]
    sentences: tuple[str, ...] = ()


def sections(plan: Plan) -> list[Facts]:
    """All lists of facts, in reading order."""
    return [
        Facts(title="Requirements", facts=tuple(Fact(name=n, text=t) for n, t in wording.requirements(plan))),
        Facts(title="What judged", facts=tuple(_subject(plan)), sentences=plan.subject.told),
        Facts(title="Machine", facts=tuple(_machine(plan))),
        Facts(title="Price", facts=tuple(_price(plan)), sentences=plan.sensitivity),
        Facts(title="Search", facts=tuple(_search(plan))),
    ]


def _subject(plan: Plan) -> Iterator[Fact]:
    subject = plan.subject
    yield Fact(name="Model", text=subject.model, hash=subject.model_sha256)
    yield Fact(name="Data", text=subject.data, hash=subject.data_sha256)
    yield Fact(name="Metric", text=subject.metric)
    yield Fact(name="Items that select", text=numbers.count(subject.items_select))
    yield Fact(name="Items that confirm", text=numbers.count(subject.items_confirm))
    yield Fact(name="Items that calibrate", text=numbers.count(subject.items_calibrate))
    if plan.quality:
        yield Fact(name="Chosen against reference", text=wording.drop(plan.quality))
        yield Fact(name="Judged on", text=_judged_on(plan.quality.items, plan.quality.confirmed))


def _judged_on(items: int, confirmed: bool) -> str:
    part = "that took no part in selecting" if confirmed else "that also took part in selecting"
    return f"{numbers.count(items)} items {part}"


def _machine(plan: Plan) -> Iterator[Fact]:
    machine = plan.machine
    yield Fact(name="Processor", text=f"{machine.cpu} ({machine.arch})")
    yield Fact(name="Cores", text=numbers.count(machine.cores))
    yield Fact(name="Memory", text=numbers.megabytes(machine.memory_mb))
    if machine.features:
        yield Fact(name="Instructions", text=", ".join(machine.features))
    if machine.system:
        yield Fact(name="System", text=machine.system)
    if machine.devices:
        yield Fact(name="Devices", text=", ".join(machine.devices))
    yield Fact(name="Fingerprint", text="", hash=machine.fingerprint)


def _price(plan: Plan) -> Iterator[Fact]:
    price = plan.price
    yield Fact(name="One replica", text=f"{numbers.stated(price.per_hour)} {price.currency} per hour")
    yield Fact(name="Runs on", text=price.machine)
    yield Fact(name="Source", text=price.source)
    if price.spot:
        yield Fact(name="Kind", text="spot: it may be taken away at any moment")
    figures = plan.chosen_figures or plan.reference
    if figures.energy:
        yield Fact(name="Energy", text=figures.energy.source)
    for one in plan.machines:
        best = "nothing keeps everything" if one.best is None else f"best there {one.best}"
        yield Fact(name=one.name, text=f"{numbers.stated(one.price.per_hour)} {one.price.currency} per hour, {best}")


def _search(plan: Plan) -> Iterator[Fact]:
    search = plan.search
    yield Fact(name="Took", text=numbers.seconds(search.seconds))
    yield Fact(name="Candidates", text=numbers.count(len(plan.candidates)))
    yield Fact(
        name="Measurements", text=f"{numbers.count(search.measured)} made, {numbers.count(search.resumed)} resumed"
    )
    yield Fact(name="Ruled out early", text=numbers.count(search.ruled_out))
    ended = "to the end" if search.complete else "stopped early: a better candidate may exist"
    yield Fact(name="Ran", text=ended)
    yield Fact(name="Made by", text=f"Steelyard {plan.steelyard}, {moment(plan.created)}")


def moment(created: str) -> str:
    """A UTC time in ISO 8601 as people write it; anything else as it is."""
    try:
        told = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{told.day} {told:%B %Y, %H:%M} UTC"
