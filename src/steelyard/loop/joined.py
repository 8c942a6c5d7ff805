"""What several machines weighed of one subject, joined into one weighing that can be decided on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import msgspec

from steelyard.errors import UsageError
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Entry, Measurement, Speed
from steelyard.records.weighing import Place, Weighing

Measured = dict[str, list[Measurement]]
"""By candidate (quality by numerics), in the order in which it was measured."""


@dataclass(frozen=True)
class Pricing:
    """What machines cost: some by name, all others as they were said to cost when they were weighed, or `price`."""

    price: Price = field(default_factory=Price)
    said: bool = False
    """Whether `price` was said now; it then goes over what was said when they were weighed."""
    by_name: Mapping[str, Price] = field(default_factory=dict)
    only: str = ""
    """Decide on this machine alone: its name, or the beginning of its fingerprint."""


@dataclass(frozen=True)
class Weighed:
    """One machine's weighing and what was measured there."""

    weighing: Weighing
    entries: Sequence[Entry]

    @property
    def newest(self) -> str:
        """When it was last measured on."""
        return max((entry.created for entry in self.entries), default="")

    @property
    def measured(self) -> Measured:
        """The measurements, as a decision takes them."""
        measured: Measured = {}
        for entry in self.entries:
            measured.setdefault(entry.candidate, []).append(entry.measurement)
        return measured

    @property
    def is_ready(self) -> bool:
        """Whether the model as given was timed there: without it nothing can be told."""
        owner = self.weighing.reference.id
        return any(e.candidate == owner and isinstance(e.measurement, Speed) for e in self.entries)


def latest(weighed: Sequence[Weighed]) -> list[Weighed]:
    """One of each kind of machine, the last measured on: a new kernel makes another fingerprint, not another kind.

    What was weighed without a name gives way to what was later weighed with one on such a machine.
    """
    kinds: dict[tuple[object, str], Weighed] = {}
    for one in sorted(weighed, key=lambda w: w.newest):
        kinds.pop((_hardware(one), ""), None)
        kinds[(_hardware(one), one.weighing.name)] = one
    return list(kinds.values())


def _hardware(weighed: Weighed) -> object:
    machine = weighed.weighing.machine
    return machine.cpu, machine.arch, machine.cores, machine.devices


def chosen_from(weighed: Sequence[Weighed], only: str) -> list[Weighed]:
    """Those that are meant. Raises UsageError when none is."""
    fitting = [w for w in weighed if not only or only == w.weighing.name or _fingerprint(w).startswith(only)]
    if not fitting:
        known = ", ".join(f"{name} ({w.weighing.machine.cpu})" for name, w in zip(names(weighed), weighed, strict=True))
        raise UsageError(
            f"several machines have weighed this and none is '{only}': {known}",
            "choose one with --machine, or leave it out and price each with --machine-price NAME=0.10USD/h",
        )
    return fitting


def names(weighed: Sequence[Weighed]) -> list[str]:
    """What each machine is called: as it was weighed, the beginning of its fingerprint added where that is not one."""
    called = [w.weighing.name for w in weighed]
    return [_name(w, alone=bool(name) and called.count(name) == 1) for w, name in zip(weighed, called, strict=True)]


def _name(weighed: Weighed, *, alone: bool) -> str:
    name, mark = weighed.weighing.name, _fingerprint(weighed)[:8]
    return name if alone else f"{name}-{mark}" if name else mark


def _fingerprint(weighed: Weighed) -> str:
    return weighed.weighing.machine.fingerprint


def price_of(name: str, weighed: Weighed, pricing: Pricing) -> Price:
    """What this machine costs."""
    by_name = (price for key, price in pricing.by_name.items() if key == name or _fingerprint(weighed).startswith(key))
    said = next(by_name, None)
    if said is None:
        said = pricing.price if pricing.said else (weighed.weighing.price or pricing.price)
    return said


def join(weighed: Sequence[Weighed], pricing: Pricing) -> tuple[Weighing, Measured]:
    """One weighing of all machines and the measurements by candidate (quality by numerics), all named by machine.

    Candidates of equal rank in their machine's order lie beside each other, so the order still begins with what
    changes the least. Raises UsageError for prices that cannot be compared and for names of no machine.
    """
    named = dict(zip(names(weighed), weighed, strict=True))
    places = tuple(_place(name, one, pricing) for name, one in named.items())
    _check_currencies(places)
    _check_names(named, pricing)
    ranks = zip_longest(*([(n, c) for c in w.weighing.candidates] for n, w in named.items()))
    candidates = tuple(_at(each[0], each[1]) for rank in ranks for each in rank if each is not None)
    measured = {f"{key}@{name}": found for name, one in named.items() for key, found in one.measured.items()}
    first = next(iter(named.values())).weighing
    return Weighing(subject=first.subject, machine=first.machine, candidates=candidates, places=places), measured


def _place(name: str, weighed: Weighed, pricing: Pricing) -> Place:
    price = msgspec.structs.replace(price_of(name, weighed, pricing), machine=name)
    return Place(name=name, machine=weighed.weighing.machine, price=price)


def _at(name: str, candidate: Candidate) -> Candidate:
    return msgspec.structs.replace(candidate, machine=name)


def _check_currencies(places: Sequence[Place]) -> None:
    currencies = {place.price.currency: place.name for place in places}
    if len(currencies) > 1:
        told = ", ".join(f"{place.name}: {place.price.currency}" for place in places)
        raise UsageError(
            f"the machines' prices cannot be compared: {told}",
            " ".join(f"--machine-price {place.name}=0.10USD/h" for place in places),
        )


def _check_names(named: Mapping[str, Weighed], pricing: Pricing) -> None:
    for key in pricing.by_name:
        if key not in named and not any(_fingerprint(w).startswith(key) for w in named.values()):
            raise UsageError(f"no machine called '{key}' has weighed this", f"those that have: {', '.join(named)}")
