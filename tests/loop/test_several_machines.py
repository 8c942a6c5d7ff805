"""Several machines weigh into one ledger, and the choice is made over all of them. Their measurements are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from command import run_in
from made_up import REFERENCE, evidence
from several_machines import BIG, BOLD, DROP, FAST, SMALL, USD, keep, measured
from steelyard.errors import UsageError
from steelyard.ledger import Ledger
from steelyard.loop import decide_again, order
from steelyard.loop.joined import Pricing
from steelyard.records.base import to_json
from steelyard.records.machine import Price
from steelyard.records.plan import Plan


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two machines: the big one four times as fast and eight times as dear as the small one."""
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as ledger:
        keep(ledger, BIG, measured(1), "big.8x", USD)
        small = msgspec.structs.replace(USD, per_hour=0.05, machine="small.2x")
        keep(ledger, SMALL, measured(4), "small.2x", small)
    return path


def verdicts(plan: Plan) -> dict[str, str]:
    return {each.id: each.verdict for each in plan.candidates}


def test_the_cheapest_of_all_machines_is_chosen(place: Path) -> None:
    plan = decide_again(place, DROP, Pricing())
    assert plan.status == "met"
    assert plan.chosen is not None
    assert plan.chosen.id == BOLD.id + "@small.2x"
    assert plan.chosen.machine == "small.2x"
    assert plan.machine == SMALL
    assert plan.price.per_hour == 0.05
    assert len(plan.candidates) == 6
    assert verdicts(plan)[BOLD.id + "@big.8x"] == "front", "dearer, but its latency is better"
    dearer = next(each.reason for each in plan.candidates if each.id == FAST.id + "@big.8x")
    assert "costs" in dearer
    assert "times as much as" in dearer


def test_gains_are_told_against_the_reference_on_the_same_machine(place: Path) -> None:
    plan = decide_again(place, DROP, Pricing())
    assert plan.reference.candidate.id == REFERENCE.id + "@small.2x"
    assert plan.gain is not None
    assert plan.capacity_per_replica is not None
    assert plan.gain.speed == pytest.approx(plan.capacity_per_replica / plan.reference.capacity_per_replica)
    assert "on the same machine" in plan.summary
    names = [(m.name, m.machine, m.best) for m in plan.machines]
    assert names == [("big.8x", BIG, BOLD.id + "@big.8x"), ("small.2x", SMALL, BOLD.id + "@small.2x")]
    capacities = [m.reference_capacity for m in plan.machines]
    assert capacities[0] == pytest.approx(4 * capacities[1])


def test_prices_decide_and_can_be_said_anew(place: Path) -> None:
    cheap = {"big.8x": msgspec.structs.replace(USD, per_hour=0.1)}
    plan = decide_again(place, DROP, Pricing(by_name=cheap))
    assert plan.chosen is not None
    assert plan.chosen.id == BOLD.id + "@big.8x"
    assert [m.price.per_hour for m in plan.machines] == [0.1, 0.05]
    same = decide_again(place, DROP, Pricing(msgspec.structs.replace(USD, per_hour=1), said=True))
    assert [m.price.per_hour for m in same.machines] == [1, 1]
    assert same.machine == BIG


def test_what_is_wrong_on_one_machine_only_is_not_chosen_there(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as ledger:
        keep(ledger, BIG, measured(1), "big", USD)
        keep(ledger, SMALL, measured(1, bold_worse=0.3), "small", msgspec.structs.replace(USD, per_hour=0.3))
    plan = decide_again(path, DROP, Pricing())
    assert verdicts(plan)[BOLD.id + "@small"] == "fails"
    assert plan.chosen is not None
    assert plan.chosen.id == BOLD.id + "@big", "a quarter dearer an hour, but twice as fast as what may run there"


def test_one_machine_alone_can_be_meant(place: Path) -> None:
    for only in ("big.8x", BIG.fingerprint[:10]):
        plan = decide_again(place, DROP, Pricing(USD, said=True, only=only))
        assert plan.chosen is not None
        assert (plan.chosen.id, plan.machines, plan.machine) == (BOLD.id, (), BIG)
    with pytest.raises(UsageError, match=r"none is 'm7a\.large'") as caught:
        decide_again(place, DROP, Pricing(USD, said=True, only="m7a.large"))
    assert "--machine-price" in caught.value.hint


def test_prices_that_cannot_be_compared(place: Path) -> None:
    euros = {"big.8x": msgspec.structs.replace(USD, currency="EUR")}
    with pytest.raises(UsageError, match=r"cannot be compared: big\.8x: EUR, small\.2x: USD"):
        decide_again(place, DROP, Pricing(by_name=euros))
    with pytest.raises(UsageError, match="no machine called 'nobody'"):
        decide_again(place, DROP, Pricing(by_name={"nobody": USD}))


def test_machines_without_names_and_prices(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as ledger:
        keep(ledger, BIG, measured(1))
        keep(ledger, SMALL, measured(4))
    plan = decide_again(path, DROP, Pricing())
    assert plan.chosen is not None
    assert plan.chosen.id == f"{BOLD.id}@{BIG.fingerprint[:8]}"
    assert plan.price.currency == "machine-hours"


def test_another_kernel_is_not_another_machine(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    updated = msgspec.structs.replace(BIG, system="Linux 9.9")
    with Ledger.open(path) as ledger:
        keep(ledger, BIG, measured(1))
        keep(ledger, updated, measured(1), name="big", created="2026-11-25T00:00:00+00:00")
    plan = decide_again(path, DROP, Pricing())
    assert plan.machines == ()
    assert plan.machine == updated


def test_where_the_reference_was_not_timed_nothing_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    broken = measured(1) | {REFERENCE.id: evidence(REFERENCE, None)}
    with Ledger.open(path) as ledger:
        keep(ledger, BIG, broken, "big", USD)
        keep(ledger, SMALL, measured(4), "small", USD)
    plan = decide_again(path, DROP, Pricing())
    assert plan.machine == SMALL
    assert any("left out: big" in warning for warning in plan.warnings)


def test_what_an_older_version_noted_still_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as ledger:
        told = keep(ledger, BIG, measured(1))
        ledger.remember(told.subject.key, to_json(told).decode())
    plan = decide_again(path, DROP, Price())
    assert plan.chosen is not None
    assert (plan.chosen.id, plan.machines) == (BOLD.id, ())


SAID: list[tuple[Any, dict[str, float]]] = [
    (["big.8x=0.10USD/h"], {"big.8x": 0.1}),
    ({"big.8x": {"price": "73USD/month"}, "small.2x": "0.2USD/h"}, {"big.8x": 0.1, "small.2x": 0.2}),
]


@pytest.mark.parametrize(("said", "wanted"), SAID)
def test_prices_as_people_say_them(said: Any, wanted: dict[str, float]) -> None:
    found = order.machine_prices({"machines": said})
    assert {name: price.per_hour for name, price in found.items()} == pytest.approx(wanted)


def test_a_machine_of_the_catalogue_prices_another() -> None:
    found = order.machine_prices({"machines": ["box=m7a.large"]})["box"]
    assert found.machine == "box"
    assert found.per_hour == order.price({"machine": "m7a.large"})[0].per_hour


@pytest.mark.parametrize("said", [["big"], {"big": {}}, {"big": {"prize": "1USD/h"}}, {"big": 3}, ["big=cheap"]])
def test_prices_that_cannot_be_read(said: Any) -> None:
    with pytest.raises(UsageError) as caught:
        order.machine_prices({"machines": said})
    assert caught.value.hint


def test_from_the_command_line_and_the_settings_file(tmp_path: Path, place: Path) -> None:
    decided = run_in(tmp_path, "decide", "--ledger", "ledger.db", "--format", "json")
    assert decided.json["chosen"]["machine"] == "small.2x"
    other = run_in(
        tmp_path, "decide", "--ledger", "ledger.db", "--machine-price", "big.8x=0.1USD/h", "--format", "json"
    )
    assert other.json["chosen"]["machine"] == "big.8x"
    (tmp_path / "steelyard.toml").write_text('[machines."big.8x"]\nprice = "0.1USD/h"\n')
    filed = run_in(tmp_path, "decide", "--ledger", "ledger.db", "--format", "json")
    assert filed.json["chosen"]["machine"] == "big.8x"
    shown = run_in(tmp_path, "decide", "--ledger", "ledger.db")
    assert "small.2x" in shown.out
    assert "big.8x" in shown.out


def test_a_plan_stays_with_the_machines_that_it_is_about(tmp_path: Path, place: Path) -> None:
    alone = decide_again(place, DROP, Pricing(USD, said=True, only="big.8x"))
    (tmp_path / "alone.json").write_bytes(to_json(alone))
    both = decide_again(place, DROP, Pricing(by_name={"big.8x": msgspec.structs.replace(USD, per_hour=0.1)}))
    (tmp_path / "both.json").write_bytes(to_json(both))
    again = run_in(tmp_path, "decide", "alone.json", "--ledger", "ledger.db", "--format", "json")
    assert again.json["chosen"]["id"] == BOLD.id
    assert again.json["price"]["per_hour"] == 0.4
    joined = run_in(tmp_path, "decide", "both.json", "--ledger", "ledger.db", "--format", "json")
    assert joined.json["chosen"]["id"] == BOLD.id + "@big.8x"
    assert joined.json["machines"][0]["price"]["per_hour"] == 0.1
