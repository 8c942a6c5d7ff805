"""Answer new requirements or prices from the ledger, without measuring."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import msgspec

from steelyard.decision import decide
from steelyard.errors import UsageError
from steelyard.ledger import Ledger, shown
from steelyard.loop.joined import Measured, Pricing, Weighed, chosen_from, join, latest, names, price_of
from steelyard.machines.here import this_machine
from steelyard.records.base import from_json
from steelyard.records.machine import Price
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Split
from steelyard.records.weighing import Weighing
from steelyard.search import fold
from steelyard.version import VERSION

NOT_SEARCHED = (
    "No search for these requirements came to its end: a candidate that was not measured may be better "
    "(run 'steelyard weigh' with them)."
)


def decide_again(
    ledger: str | Path,
    requirements: Requirements,
    pricing: Pricing | Price,
    *,
    subject: str = "",
    warnings: tuple[str, ...] = (),
) -> Plan:
    """The plan for other requirements or other prices, from what the ledger holds of one subject.

    When several kinds of machines have weighed it, the choice is made over all of them, each at its own price.
    `subject` is the beginning of a subject's key or its name; empty: the one measured last. Raises `UsageError`
    when the ledger holds nothing that fits.
    """
    if isinstance(pricing, Price):
        pricing = Pricing(pricing, said=True)
    _must_exist(ledger)
    with Ledger.open(ledger) as opened:
        weighed = _weighed(opened, subject, ledger)
        notices = opened.notices
    kinds = latest(weighed)
    meant = chosen_from(kinds, pricing.only if len(kinds) > 1 else "")
    told = (*warnings, *notices, *_unready(meant))
    meant = [w for w in meant if w.is_ready] or meant[:1]
    if len(meant) == 1:
        return _plan(*_alone(meant[0], pricing), requirements, meant, (*told, *_elsewhere(meant[0].weighing)))
    weighing, measured = join(meant, pricing)
    return _plan(weighing, measured, weighing.places[0].price, requirements, meant, told)


def _alone(weighed: Weighed, pricing: Pricing) -> tuple[Weighing, Measured, Price]:
    """One machine: nothing has to be named."""
    return weighed.weighing, weighed.measured, price_of(names([weighed])[0], weighed, pricing)


def _plan(
    weighing: Weighing,
    measured: Measured,
    price: Price,
    requirements: Requirements,
    weighed: Sequence[Weighed],
    warnings: tuple[str, ...],
) -> Plan:
    for priced in (price, *(place.price for place in weighing.places)):
        requirements.check_currency(priced)
    resumed = sum(len(w.entries) for w in weighed)
    complete = all(any(s.answers(requirements) for s in w.weighing.searches) for w in weighed)
    split = Split(select=weighing.subject.items_select, confirm=weighing.subject.items_confirm)
    return decide(
        weighing,
        fold(weighing.candidates, measured, split),
        requirements,
        price,
        search=SearchFigures(seconds=0.0, measured=0, resumed=resumed, ruled_out=0, complete=complete),
        unfinished=NOT_SEARCHED,
        version=VERSION,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        warnings=warnings,
    )


def _unready(weighed: Sequence[Weighed]) -> list[str]:
    """Machines that are left out, where there are others."""
    if not any(w.is_ready for w in weighed):
        return []
    return [
        f"left out: {name}, where the model as given was not timed"
        for name, w in zip(names(weighed), weighed, strict=True)
        if not w.is_ready
    ]


def _must_exist(ledger: str | Path) -> None:
    if "://" not in str(ledger) and not Path(ledger).is_file():
        raise UsageError(f"there is no ledger at {ledger}", "weigh something first, or name its place with --ledger")


def _weighed(ledger: Ledger, subject: str, where: str | Path) -> list[Weighed]:
    """What was weighed of one subject, on each machine; of several subjects that fit, the one measured last."""
    known = {}
    for found in sorted(ledger.subjects(), key=lambda s: s.newest, reverse=True):
        told = [_read(note, where) for note in ledger.notes(found.key).values()]
        if told:
            known[found.key] = told
    fitting = [w for w in known.values() if w[0].subject.key.startswith(subject) or w[0].subject.name == subject]
    if fitting:
        entries = ledger.of_subject(fitting[0][0].subject.key)
        return [Weighed(w, [e for e in entries if e.machine == w.machine.fingerprint]) for w in _distinct(fitting[0])]
    if not known:
        raise UsageError(f"the ledger {shown(where)} holds no measurements yet", "weigh something first")
    raise UsageError(
        f"the ledger {shown(where)} holds nothing of '{subject}'",
        "it holds: " + ", ".join(f"{w[0].subject.name} ({key[:8]})" for key, w in known.items()),
    )


def _distinct(weighings: Sequence[Weighing]) -> list[Weighing]:
    """One of each machine: an older Steelyard noted one without naming the machine."""
    return list({w.machine.fingerprint: w for w in weighings}.values())


def _read(told: str, where: str | Path) -> Weighing:
    try:
        return from_json(told, Weighing)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"the ledger {shown(where)} was written by another version: {error}", "weigh again to fill it anew"
        ) from error


def _elsewhere(weighing: Weighing) -> tuple[str, ...]:
    here = this_machine()
    if here.fingerprint == weighing.machine.fingerprint:
        return ()
    return (f"measured on another machine than this one: {weighing.machine.cpu}, {weighing.machine.cores} cores",)
