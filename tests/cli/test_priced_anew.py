"""`steelyard decide BUNDLE`: the bundle's price holds unless another one is said."""

from __future__ import annotations

from typing import Any

import pytest

from made_up import REFERENCE, evidence, service, weighing
from steelyard.cli import run
from steelyard.cli.settings import Setting, Settings, collect
from steelyard.decision import decide
from steelyard.errors import UsageError
from steelyard.loop.joined import Pricing
from steelyard.records.machine import Price
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Requirements


@pytest.fixture
def plan() -> Plan:
    price = Price(per_hour=0.084492, currency="USD", machine="n2d-standard-2", source="a catalogue")
    found = {REFERENCE.id: evidence(REFERENCE, service(4, 1, [1]))}
    search = SearchFigures(seconds=1, measured=1, resumed=0, ruled_out=0, complete=True)
    return decide(weighing([REFERENCE]), found, Requirements(), price, search=search, version="0", created="now")


def anew(plan: Plan, **flags: Any) -> Pricing:
    said = {name: Setting(value, "command line") for name, value in flags.items()}
    return run._priced_anew(Settings(collect({}, None) | said), plan)[0]


def test_nothing_said_keeps_the_price(plan: Plan) -> None:
    assert anew(plan).price == plan.price


def test_spot_alone_means_the_plans_machine(plan: Plan) -> None:
    price = anew(plan, spot=True).price
    assert (price.machine, price.per_hour, price.spot) == ("n2d-standard-2", 0.037436, True)


def test_another_price_or_machine_replaces_it(plan: Plan) -> None:
    assert anew(plan, price="1EUR/h").price.currency == "EUR"
    assert anew(plan, machine="m7a.large").price.machine == "m7a.large"
    with pytest.raises(UsageError, match=r"no spot price of m7a\.large"):
        anew(plan, machine="m7a.large", spot=True)
