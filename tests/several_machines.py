"""Made-up weighings of one subject on several machines, as they would lie in a ledger they share."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from made_up import MACHINE, REFERENCE, candidate, evidence, service, weighing
from steelyard.ledger import Ledger
from steelyard.records.base import to_json
from steelyard.records.machine import Machine, Price
from steelyard.records.measurement import Entry, Evidence
from steelyard.records.requirements import Requirements
from steelyard.records.weighing import Weighing

FAST, BOLD = candidate("fast"), candidate("bold")
BIG = msgspec.structs.replace(MACHINE, cpu="big", cores=8)
SMALL = msgspec.structs.replace(MACHINE, cpu="small", cores=2)
DROP = Requirements(quality_drop=0.02)
USD = Price(per_hour=0.4, currency="USD", machine="big.8x", source="given")


def measured(ms: float, bold_worse: float = 0.0) -> dict[str, Evidence]:
    """A machine on which everything takes in proportion to `ms`; `bold` is fastest, and worse on some."""
    return {
        REFERENCE.id: evidence(REFERENCE, service(8 * ms, ms, (1,))),
        FAST.id: evidence(FAST, service(ms, ms / 4), worse=0.001),
        BOLD.id: evidence(BOLD, service(ms / 2, ms / 8), worse=bold_worse + 0.001),
    }


def keep(
    ledger: Ledger,
    machine: Machine,
    found: Mapping[str, Evidence],
    name: str = "",
    price: Price | None = None,
    created: str = "2026-11-24T00:00:00+00:00",
) -> Weighing:
    """Everything of one machine, as a weighing there would have kept it."""
    told = weighing([REFERENCE, FAST, BOLD])
    told = msgspec.structs.replace(told, machine=machine, name=name, price=price)
    ledger.remember(told.subject.key, to_json(told).decode(), machine.fingerprint)
    for one in told.candidates:
        got = found.get(one.id)
        for what in () if got is None else (got.probe, got.speed, got.selected, got.confirmed):
            if what is not None:
                owner = one.numerics if what in (got.selected, got.confirmed) else one.id  # type: ignore[union-attr]
                key = f"{machine.fingerprint}{owner}{what}"
                ledger.append(
                    Entry(
                        key=key, subject=told.subject.key, candidate=owner, machine=machine.fingerprint,
                        created=created, measurement=what,
                    )
                )  # fmt: skip
    return told
