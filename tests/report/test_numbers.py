from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "1,230"),
        (123456789, "123,000,000"),
        (0.04321, "0.0432"),
        (1.5, "1.50"),
        (12.34, "12.3"),
        (999.6, "1,000"),
        (0, "0"),
        (-0.5, "−0.500"),
        (1.5e-6, "1.50e−6"),
        (2e16, "2.00e16"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
    ],
)
def test_significant_keeps_three_digits(value: float, text: str) -> None:
    assert numbers.significant(value) == text


def test_significant_keeps_as_many_digits_as_asked_for() -> None:
    assert numbers.significant(0.98765, 4) == "0.9877"
    assert numbers.significant(1234.5, 1) == "1,000"


@given(st.floats(min_value=1e-4, max_value=1e14))
def test_significant_is_never_off_by_more_than_its_last_digit(value: float) -> None:
    told = float(numbers.significant(value).replace(",", ""))
    assert math.isclose(told, value, rel_tol=0.0051)


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5"), (0.25, "0.25"), (12000.0, "12,000"), (0.096, "0.096"), (0, "0"), (1e-6, "1e−06")]
)
def test_stated_numbers_are_told_as_written(value: float, text: str) -> None:
    assert numbers.stated(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0432, "43.2 µs"),
        (0.5, "0.500 ms"),
        (5.2, "5.20 ms"),
        (999.7, "1.00 s"),
        (1250, "1.25 s"),
        (59_990, "1 min 0 s"),
        (200_000, "3 min 20 s"),
        (7_300_000, "2 h 1 min"),
        (0, "0 ms"),
        (math.inf, "∞"),
    ],
)
def test_durations_take_the_unit_that_suits_them(value: float, text: str) -> None:
    assert numbers.duration_ms(value) == text


def test_demanded_durations_are_told_as_written() -> None:
    assert numbers.stated_ms(5.0) == "5 ms"
    assert numbers.stated_ms(0.05) == "50 µs"
    assert numbers.stated_ms(1500) == "1.5 s"
    assert numbers.seconds(312) == "5 min 12 s"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12, "0.12"),
        (0.1, "0.10"),
        (0.1234, "0.123"),
        (0.00123, "0.00123"),
        (1.5, "1.50"),
        (12.3, "12.30"),
        (99.999, "100"),
        (123.4, "123"),
        (1234, "1,230"),
        (0, "0"),
        (2e-6, "2.00e−6"),
        (math.inf, "∞"),
    ],
)
def test_money_has_cents_and_three_digits(value: float, text: str) -> None:
    assert numbers.money(value, "machine-hours") == f"{text} machine-hours"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.9893, "98.93%"),
        (0.9887, "98.87%"),
        (0.856, "85.6%"),
        (0.5, "50.0%"),
        (0.0042, "0.42%"),
        (0.00004, "0.004%"),
        (1, "100%"),
        (0, "0%"),
        (-0.012, "−1.20%"),
        (math.nan, "–"),
    ],
)
def test_percent_tells_more_near_the_ends(share: float, text: str) -> None:
    assert numbers.percent(share) == text


def test_demanded_shares_are_told_as_written() -> None:
    assert numbers.stated_percent(0.95) == "95%"
    assert numbers.stated_percent(0.005) == "0.5%"
    assert numbers.stated_percent(0.07) == "7%"


def test_ratios_rates_and_memory_carry_their_units() -> None:
    assert numbers.times(2.931) == "2.93×"
    assert numbers.rate(412.4) == "412/s"
    assert numbers.megabytes(84.2) == "84.2 MB"
    assert numbers.megabytes(1530) == "1.53 GB"
    assert numbers.count(12345) == "12,345"


def test_importing_numbers_loads_no_templates_and_no_arrays() -> None:
    code = "import sys, steelyard.numbers; print('jinja2' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
