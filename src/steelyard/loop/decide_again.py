"""Answer new requirements or prices from the ledger, without measuring."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec

from steelyard.decision import decide
from steelyard.errors import UsageError
from steelyard.ledger import Ledger, shown
from steelyard.machines.here import this_machine
from steelyard.records.base import from_json
from steelyard.records.machine import Price
from steelyard.records.measurement import Measurement
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Split
from steelyard.records.weighing import Weighing
from steelyard.search import fold
from steelyard.version import VERSION


def decide_again(
    ledger: str | Path, requirements: Requirements, price: Price, *, subject: str = "", warnings: tuple[str, ...] = ()
) -> Plan:
    """The plan for other requirements or another price, from what the ledger holds of one subject.

    `subject` is the beginning of a subject's key or its name; empty: the one measured last. Raises `UsageError`
    when the ledger holds nothing that fits.
    """
    requirements.check_currency(price)
    _must_exist(ledger)
    with Ledger.open(ledger) as opened:
        weighing = _weighing(opened, subject, ledger)
        entries = opened.of_subject(weighing.subject.key, weighing.machine.fingerprint)
    measurements: dict[str, list[Measurement]] = {}
    for entry in entries:
        measurements.setdefault(entry.candidate, []).append(entry.measurement)
    split = Split(select=weighing.subject.items_select, confirm=weighing.subject.items_confirm)
    figures = SearchFigures(seconds=0.0, measured=0, resumed=len(entries), ruled_out=0, complete=True)
    return decide(
        weighing,
        fold(weighing.candidates, measurements, split),
        requirements,
        price,
        search=figures,
        version=VERSION,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        warnings=(*warnings, *_elsewhere(weighing)),
    )


def _must_exist(ledger: str | Path) -> None:
    if "://" not in str(ledger) and not Path(ledger).is_file():
        raise UsageError(f"there is no ledger at {ledger}", "weigh something first, or name its place with --ledger")


def _weighing(ledger: Ledger, subject: str, where: str | Path) -> Weighing:
    """What was weighed, the newest first."""
    known = []
    for found in sorted(ledger.subjects(), key=lambda s: s.newest, reverse=True):
        told = ledger.recall(found.key)
        if told is not None:
            known.append(_read(told, where))
    fitting = [w for w in known if w.subject.key.startswith(subject) or w.subject.name == subject]
    if fitting:
        return fitting[0]
    if not known:
        raise UsageError(f"the ledger {shown(where)} holds no measurements yet", "weigh something first")
    raise UsageError(
        f"the ledger {shown(where)} holds nothing of '{subject}'",
        "it holds: " + ", ".join(f"{w.subject.name} ({w.subject.key[:8]})" for w in known),
    )


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
