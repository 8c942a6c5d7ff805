"""Prices by name and as people write them, and machines that are not the one measured on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.errors import UsageError
from steelyard.machines.prices import Offer, mismatch, offers, parse_price, price_of
from steelyard.records.machine import Machine


@pytest.mark.parametrize(
    ("text", "per_hour", "currency"),
    [
        ("0.10USD/h", 0.10, "USD"),
        ("$0.10/h", 0.10, "USD"),
        ("0.10 EUR/hour", 0.10, "EUR"),
        ("73USD/month", 0.10, "USD"),
        ("73/mo", 0.10, "USD"),
        ("0.10/h", 0.10, "USD"),
        ("  .5 chf / Hr ", 0.5, "CHF"),
        ("€2./hour", 2.0, "EUR"),
        ("2€/h", 2.0, "EUR"),
        ("£3 per hour", 3.0, "GBP"),
        ("3 per month", 3 / 730, "USD"),
        ("$1USD/h", 1.0, "USD"),
        ("+1USD/h", 1.0, "USD"),
    ],
)
def test_price_as_people_write_it(text: str, per_hour: float, currency: str) -> None:
    price = parse_price(text)
    assert price.per_hour == pytest.approx(per_hour)
    assert price.currency == currency
    assert price.machine == "this machine"
    assert price.source == f"given as {text.strip()}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-0.10USD/h", "above 0"),
        ("$-1/h", "above 0"),
        ("0USD/h", "above 0"),
        ("0.000/month", "above 0"),
        ("9" * 400 + "/h", "above 0"),
        ("0.10", "needs its time unit"),
        ("0.10USD", "needs its time unit"),
        ("0.10USD/", "needs its time unit"),
        ("0.10USD/s", "per hour or per month, got 's'"),
        ("0.10USD/year", "per hour or per month, got 'year'"),
        ("0.10/hUSD", "per hour or per month, got 'hUSD'"),
        ("$1EUR/h", "one currency"),
        ("", "an amount, a currency and a time unit"),
        ("free", "an amount, a currency and a time unit"),
        ("$/h", "an amount, a currency and a time unit"),
        ("0,10EUR/h", "an amount, a currency and a time unit"),
        ("1.0.0/h", "an amount, a currency and a time unit"),
        ("nan/h", "an amount, a currency and a time unit"),
        ("1e3USD/h", "an amount, a currency and a time unit"),
        ("1XYZ/h", "unknown currency 'XYZ' in '1XYZ/h'"),
        ("1DOLLAR/h", "an amount, a currency and a time unit"),
        ("1USD/h/h", "an amount, a currency and a time unit"),
        ("٣USD/h", "an amount, a currency and a time unit"),
    ],
)
def test_price_that_is_none_is_refused_with_the_forms(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_price(text)
    assert message in caught.value.message
    for form in ("0.10USD/h", "$0.10/h", "0.10 EUR/hour", "72USD/month", "0.10/h"):
        assert form in caught.value.hint


@given(st.text(max_size=20))
def test_any_text_is_a_price_above_0_or_a_usage_error(text: str) -> None:
    try:
        price = parse_price(text)
    except UsageError:
        return
    assert 0 < price.per_hour < float("inf")


def test_forms_in_the_hint_are_accepted() -> None:
    hours = [parse_price(form).per_hour for form in ("0.10USD/h", "$0.10/h", "0.10 EUR/hour", "72USD/month", "0.10/h")]
    assert hours == pytest.approx([0.10, 0.10, 0.10, 72 / 730, 0.10])


def test_price_by_name() -> None:
    price = price_of("c7a.large")
    assert (price.per_hour, price.currency, price.machine) == (0.10264, "USD", "c7a.large")
    assert price.source == "AWS on-demand us-east-1, 2026-07-20 (catalogue shipped with Steelyard)"


@pytest.mark.parametrize("name", ["c7a.lrge", "C7A.Large", "c7a-large"])
def test_unknown_name_gets_the_nearest(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        price_of(name)
    assert f"the machine {name!r} is not in the catalogues shipped with Steelyard" in caught.value.message
    assert "did you mean c7a.large" in caught.value.hint
    assert "--price 0.10USD/h" in caught.value.hint


@pytest.mark.parametrize("name", ["", "my own server", "😀"])
def test_name_near_to_none_is_told_to_give_a_price(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        price_of(name)
    assert "did you mean" not in caught.value.hint
    assert "--price 0.10USD/h" in caught.value.hint


def machine(
    cpu: str = "AMD EPYC",
    arch: str = "x86_64",
    cores: int = 2,
    memory_mb: int = 4000,
    devices: tuple[str, ...] = (),
) -> Machine:
    return Machine(cpu=cpu, arch=arch, cores=cores, memory_mb=memory_mb, devices=devices)


def test_same_machine_has_no_mismatch() -> None:
    assert mismatch("c7a.large", machine()) == []


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (machine(cores=8), ("2 vCPU", "on 8")),
        (machine(memory_mb=3600), ("4,294 MB", "3,600 MB")),
        (machine(memory_mb=16_000), ("4,294 MB", "16,000 MB")),
        (machine(arch="aarch64", cpu="Apple M2"), ("x86_64", "aarch64")),
        (machine(cpu="Intel(R) Xeon(R)"), ("by amd", "Intel(R) Xeon(R)")),
        (machine(devices=("NVIDIA L4",)), ("no GPU", "NVIDIA L4")),
    ],
)
def test_one_difference_is_one_sentence(measured: Machine, words: tuple[str, ...]) -> None:
    (sentence,) = mismatch("c7a.large", measured)
    assert sentence.startswith("c7a.large ")
    assert sentence.endswith(".")
    assert all(word in sentence for word in words)


def test_all_differences_are_told() -> None:
    other = machine(cpu="Intel(R) Xeon(R)", cores=64, memory_mb=500_000)
    assert len(mismatch("g4ad.xlarge", other)) == 4


def test_gpu_that_is_paid_for_but_was_not_measured() -> None:
    (sentence,) = mismatch("g6.xlarge", machine(cores=4, memory_mb=17_000))
    assert "1 l4 GPU" in sentence
    (sentence,) = mismatch("g6f.large", machine(cores=2, memory_mb=8_500))
    assert "part of a l4 GPU" in sentence


def test_what_is_not_known_is_no_mismatch() -> None:
    assert mismatch(Offer(name="box", per_hour=1.0, currency="EUR"), machine(cpu="unknown")) == []
    odd = Offer(name="box", per_hour=1.0, currency="EUR", arch="x86_64", cpu_vendor="hygon", vcpu=2)
    assert mismatch(odd, machine(cpu="unknown")) == []


def test_mismatch_by_name_in_ones_own_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("machine,usd_per_hour,vcpu\nbox,1,3\n")
    assert mismatch("box", machine(), path) == ["box has 3 vCPU, the measurements were made on 2."]
    with pytest.raises(UsageError, match="not in the catalogues shipped"):
        mismatch("box", machine())


def test_every_shipped_machine_can_be_compared() -> None:
    assert all(isinstance(mismatch(offer, machine()), list) for offer in offers())
