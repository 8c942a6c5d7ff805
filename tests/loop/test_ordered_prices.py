"""Prices, spot, spare and budgets as words: flags, environment, steelyard.toml and Python all come through here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steelyard.cli.settings import collect
from steelyard.errors import UsageError
from steelyard.loop import order


def job(**words: Any) -> Any:
    return order.job({"model": "net.onnx", "data": "val.npz", "latency": "p95=20ms", "rate": "100/s"} | words)


def test_a_spot_price_from_the_catalogue_or_ones_own() -> None:
    shipped, _ = order.price({"machine": "n2d-standard-2", "spot": True})
    assert (shipped.per_hour, shipped.spot, shipped.other_per_hour) == (0.037436, True, 0.084492)
    own, _ = order.price({"price": "0.04USD/h", "spot": "yes"})
    assert (own.per_hour, own.spot, own.machine) == (0.04, True, "this machine")


@pytest.mark.parametrize("said", [False, "no", "0", "off", ""])
def test_not_spot(said: object) -> None:
    assert not order.price({"machine": "n2d-standard-2", "spot": said})[0].spot


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"spot": True}, "a spot price was asked for and no price given"),
        ({"spot": "perhaps", "price": "1USD/h"}, "--spot is either on or off, got 'perhaps'"),
        ({"spot": True, "machine": "m7a.large"}, "no spot price of m7a.large is known"),
        ({"spare": "-1"}, "--spare needs a whole number of replicas, got '-1'"),
        ({"spare": "1.5"}, "--spare needs a whole number of replicas, got '1.5'"),
        ({"budget": "100EUR/month", "price": "1USD/h"}, "the budget is in EUR, the price in USD"),
        ({"budget": "€100/month", "machine": "m7a.large"}, "the budget is in EUR, the price in USD"),
        ({"budget": "100USD/month"}, "a budget in USD can only be held against a price"),
        ({"budget": "$100EUR/month", "price": "1EUR/h"}, "a budget has one currency"),
        ({"budget": "100XYZ/month", "price": "1EUR/h"}, "unknown currency 'XYZ' in the budget"),
    ],
)
def test_what_does_not_fit_together_is_refused(words: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        job(**words)
    assert message in caught.value.message
    assert caught.value.hint or "spare" in message


def test_a_budget_without_a_currency_is_in_the_prices() -> None:
    ordered = job(budget="100/month", price="1CHF/h", spare=2)
    assert (ordered.requirements.budget_per_month, ordered.requirements.budget_currency) == (100, "")
    assert (ordered.price.currency, ordered.requirements.spare) == ("CHF", 2)


def test_a_known_machine_is_compared_also_when_its_price_is_ones_own() -> None:
    _, told = order.price({"price": "0.04USD/h", "machine": "m7g.metal", "spot": True})
    assert any("m7g.metal is an aarch64 machine" in sentence or "vCPU" in sentence for sentence in told)
    priced, told = order.price({"price": "0.04USD/h", "machine": "my own box"})
    assert (priced.machine, told) == ("my own box", ())


def test_all_of_it_in_the_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "steelyard.toml"
    file.write_text('[requirements]\nspare = 1\n[price]\nmachine = "n2d-standard-2"\nspot = true\n')
    words = collect({}, file).words
    assert order.price(words)[0].spot
    assert order.requirements(words).spare == 1
    monkeypatch.setenv("STEELYARD_SPOT", "false")
    monkeypatch.setenv("STEELYARD_SPARE", "3")
    words = collect({}, file).words
    assert not order.price(words)[0].spot
    assert order.requirements(words).spare == 3
