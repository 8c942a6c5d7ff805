"""Several machines decided on at once: each has its own reference, measurements and price."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.decision.standing import Standing
from steelyard.errors import InputError
from steelyard.records.plan import MachineFigures
from steelyard.records.weighing import Place, Weighing


def reference_of(standings: Sequence[Standing], chosen: Standing | None) -> Standing:
    """The model as given, on the machine that was chosen (none: on the first): gains are told like with like.

    Raises `InputError` when it was not measured there.
    """
    machine = (chosen or standings[0]).candidate.machine
    reference = next(s for s in standings if s.candidate.machine == machine)
    if reference.speed is None or reference.quality is None:
        raise InputError(
            "the reference has not been measured, so there is nothing to tell gains and drops against",
            "run 'steelyard weigh' first, or give it more time (--within)",
        )
    return reference


def place_of(weighing: Weighing, reference: Standing) -> Place:
    """The machine and price that a plan is about."""
    alone = Place(name="", machine=weighing.machine, price=reference.price)
    return next((p for p in weighing.places if p.name == reference.candidate.machine), alone)


def machine_figures(
    weighing: Weighing, standings: Sequence[Standing], ordered: Sequence[Standing]
) -> tuple[MachineFigures, ...]:
    """One line for each machine, in their order; `ordered`: those that pass, the most preferred first."""
    return tuple(_figures(place, standings, ordered) for place in weighing.places)


def _figures(place: Place, standings: Sequence[Standing], ordered: Sequence[Standing]) -> MachineFigures:
    reference = next(s for s in standings if s.candidate.machine == place.name)
    best = next((s for s in ordered if s.candidate.machine == place.name), None)
    return MachineFigures(
        name=place.name,
        machine=place.machine,
        price=place.price,
        reference_capacity=reference.capacity,
        best=None if best is None else best.candidate.id,
        cost=None if best is None else best.cost,
    )
