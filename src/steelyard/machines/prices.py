"""What an hour of a machine costs, by name or as the user says; and how it differs from the one measured on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from steelyard.errors import UsageError
from steelyard.machines.catalogue import Offer, offers, source_of
from steelyard.records.machine import Machine, Price

__all__ = ["Offer", "mismatch", "offers", "parse_price", "price_of"]

HOURS_PER_MONTH = 730.0
"""365 days of 24 hours over 12 months: how clouds count a month."""
HOURS = {"h": 1.0, "hr": 1.0, "hour": 1.0, "mo": HOURS_PER_MONTH, "month": HOURS_PER_MONTH}
SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP"}
FORMS = "accepted are for example 0.10USD/h, $0.10/h, 0.10 EUR/hour, 72USD/month (730 hours) and 0.10/h (USD)"
PRICE = re.compile(
    r"\s*(?P<symbol>[$€£])?\s*(?P<amount>[+-]?(?:\d+\.?\d*|\.\d+))\s*(?P<currency>[$€£]|[A-Za-z]{3})?"
    r"\s*(?:(?:/|\bper\b)\s*(?P<unit>[A-Za-z]*))?\s*",
    re.ASCII,
)

MEMORY_SHARE = 0.15
"""A system shows somewhat less memory than the machine is sold with; a difference above this share is told."""
VENDORS = {"amd": "amd", "intel": "intel", "apple": "apple"}
FEWEST_LETTERS_ALIKE = 0.6


def parse_price(text: str) -> Price:
    """A price as people write it: amount, currency (USD when none is given), time unit.

    UsageError for anything else, and for prices that are not above 0.
    """
    match = PRICE.fullmatch(text)
    if match is None:
        raise UsageError(f"a price is an amount, a currency and a time unit, got {text!r}", FORMS)
    hours = _hours(match["unit"], text)
    amount = float(match["amount"])
    if not 0 < amount < float("inf"):
        raise UsageError(f"a price is above 0, got {text!r}", FORMS)
    return Price(per_hour=amount / hours, currency=_currency(match, text), source=f"given as {text.strip()}")


def _hours(unit: str | None, text: str) -> float:
    if not unit:
        raise UsageError(f"a price needs its time unit, got {text!r}", FORMS)
    if unit.lower() not in HOURS:
        raise UsageError(f"a price is per hour or per month, got {unit!r} in {text!r}", FORMS)
    return HOURS[unit.lower()]


def _currency(match: re.Match[str], text: str) -> str:
    given = [part for part in (match["symbol"], match["currency"]) if part]
    named = {SYMBOLS.get(part, part.upper()) for part in given}
    if len(named) > 1:
        raise UsageError(f"a price has one currency, got {text!r}", FORMS)
    return named.pop() if named else "USD"


def price_of(machine_name: str, catalogue: Path | None = None) -> Price:
    """Price of a machine by its name in a catalogue (None: the shipped one). UsageError when it is not there."""
    offer = _find(machine_name, catalogue)
    return Price(per_hour=offer.per_hour, currency=offer.currency, machine=offer.name, source=source_of(catalogue))


def _find(name: str, catalogue: Path | None) -> Offer:
    known = {offer.name: offer for offer in offers(catalogue)}
    if name in known:
        return known[name]
    near = _nearest(name, list(known))
    where = "the catalogue shipped with Steelyard" if catalogue is None else catalogue.name
    meant = f"did you mean {', '.join(near)}? " if near else ""
    own = "for any other machine give its price, for example --price 0.10USD/h, or a catalogue of your own"
    raise UsageError(f"the machine {name!r} is not in {where} ({len(known)} machines)", f"{meant}{own}")


def _nearest(name: str, known: Sequence[str]) -> list[str]:
    by_lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=FEWEST_LETTERS_ALIKE)
    return [by_lower[entry] for entry in near]


def mismatch(offer_or_name: Offer | str, machine: Machine, catalogue: Path | None = None) -> list[str]:
    """Where the priced machine differs from the measured one, a sentence each; empty: nothing differs that is known.

    A name is looked up in `catalogue` (None: the shipped one).
    """
    offer = _find(offer_or_name, catalogue) if isinstance(offer_or_name, str) else offer_or_name
    told = [_cores(offer, machine), _arch(offer, machine), _memory(offer, machine), _vendor(offer, machine)]
    return [sentence for sentence in (*told, _gpu(offer, machine)) if sentence]


def _cores(offer: Offer, machine: Machine) -> str:
    if offer.vcpu is None or offer.vcpu == machine.cores:
        return ""
    return f"{offer.name} has {offer.vcpu} vCPU, the measurements were made on {machine.cores}."


def _arch(offer: Offer, machine: Machine) -> str:
    if not offer.arch or offer.arch == machine.arch:
        return ""
    return (
        f"{offer.name} is an {offer.arch} machine, the measurements were made on {machine.arch}: "
        "their times tell nothing of it."
    )


def _memory(offer: Offer, machine: Machine) -> str:
    if offer.memory_mb is None or abs(offer.memory_mb - machine.memory_mb) <= MEMORY_SHARE * offer.memory_mb:
        return ""
    return f"{offer.name} has {offer.memory_mb:,} MB of memory, the measured machine {machine.memory_mb:,} MB."


def _vendor(offer: Offer, machine: Machine) -> str:
    """Only within one architecture: across two, the sentence about the architecture says more."""
    measured = next((vendor for word, vendor in VENDORS.items() if word in machine.cpu.lower()), "")
    known = offer.cpu_vendor and measured and offer.arch == machine.arch
    if not known or offer.cpu_vendor == measured:
        return ""
    return f"{offer.name} has a processor by {offer.cpu_vendor}, the measurements were made on {machine.cpu}."


def _gpu(offer: Offer, machine: Machine) -> str:
    if offer.gpu_name and not machine.devices:
        count = offer.gpu_count or "part of a"
        return f"{offer.name} has {count} {offer.gpu_name} GPU in its price, the measured machine has none."
    if machine.devices and not offer.gpu_name:
        return f"{offer.name} has no GPU, the measured machine has {', '.join(machine.devices)}."
    return ""
