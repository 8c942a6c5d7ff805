"""What an hour of a machine costs, by name or as the user says; and how it differs from the one measured on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from steelyard.errors import UsageError
from steelyard.machines.catalogue import Offer, offers
from steelyard.records.currencies import CODES, SYMBOLS
from steelyard.records.machine import HOURS_PER_MONTH, Machine, Price

__all__ = ["Offer", "is_known", "mismatch", "offers", "parse_price", "price_of"]

HOURS = {"h": 1.0, "hr": 1.0, "hour": 1.0, "mo": HOURS_PER_MONTH, "month": HOURS_PER_MONTH}
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
FAST = ("avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "avx_vnni", "i8mm", "bf16", "dotprod")
"""Instruction sets that change the arithmetic of int8 and bfloat16."""


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
    code = named.pop() if named else "USD"
    if code not in CODES:
        raise UsageError(f"unknown currency {code!r} in {text!r}", FORMS)
    return code


def price_of(machine_name: str, catalogue: Path | None = None, *, spot: bool = False) -> Price:
    """Price of a machine by its name in a catalogue (None: the shipped ones). UsageError when it is not there."""
    offer = _find(machine_name, catalogue)
    if spot and offer.spot_per_hour is None:
        raise UsageError(
            f"no spot price of {offer.name} is known: spot prices change by the hour, and its catalogue has none",
            f"look it up and give it, for example --price 0.03{offer.currency}/h --machine {offer.name} --spot",
        )
    per_hour, other = (offer.spot_per_hour, offer.per_hour) if spot else (offer.per_hour, offer.spot_per_hour)
    return Price(
        per_hour=per_hour or offer.per_hour,
        currency=offer.currency,
        machine=offer.name,
        source=offer.source,
        spot=spot,
        other_per_hour=other,
    )


def is_known(machine_name: str, catalogue: Path | None = None) -> bool:
    """Whether a catalogue (None: the shipped ones) tells of this machine."""
    return any(offer.name == machine_name for offer in offers(catalogue))


def _find(name: str, catalogue: Path | None) -> Offer:
    known = {offer.name: offer for offer in offers(catalogue)}
    if name in known:
        return known[name]
    near = _nearest(name, list(known))
    where = "the catalogues shipped with Steelyard" if catalogue is None else catalogue.name
    meant = f"did you mean {', '.join(near)}? " if near else ""
    own = "for any other machine give its price, for example --price 0.10USD/h, or a catalogue of your own"
    raise UsageError(f"the machine {name!r} is not in {where} ({len(known)} machines)", f"{meant}{own}")


def _nearest(name: str, known: Sequence[str]) -> list[str]:
    by_lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=FEWEST_LETTERS_ALIKE)
    return [by_lower[entry] for entry in near]


def mismatch(offer_or_name: Offer | str, machine: Machine, catalogue: Path | None = None) -> list[str]:
    """Where the priced machine differs from the measured one, a sentence each; empty: nothing differs that is known.

    A name is looked up in `catalogue` (None: the shipped ones).
    """
    offer = _find(offer_or_name, catalogue) if isinstance(offer_or_name, str) else offer_or_name
    told = [_cores(offer, machine), _arch(offer, machine), _memory(offer, machine), _vendor(offer, machine)]
    return [sentence for sentence in (*told, _features(offer, machine), _gpu(offer, machine)) if sentence]


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


def _features(offer: Offer, machine: Machine) -> str:
    """Instruction sets that the measurements may have used, or could have used on the priced machine."""
    if not offer.features or offer.arch != machine.arch or not machine.features:
        return ""
    missing = [f for f in machine.features if f in FAST and f not in offer.features]
    more = [f for f in offer.features if f in FAST and f not in machine.features]
    parts = [f"lacks {', '.join(missing)} of the measured machine"] if missing else []
    parts += [f"has {', '.join(more)}, which the measured machine lacks"] if more else []
    return f"{offer.name} ({offer.cpu}) {' and '.join(parts)}." if parts else ""


def _gpu(offer: Offer, machine: Machine) -> str:
    if offer.gpu_name and not machine.devices:
        count = offer.gpu_count or "part of a"
        return f"{offer.name} has {count} {offer.gpu_name} GPU in its price, the measured machine has none."
    if machine.devices and not offer.gpu_name:
        return f"{offer.name} has no GPU, the measured machine has {', '.join(machine.devices)}."
    return ""
