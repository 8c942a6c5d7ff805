"""Personal data in text: found by rules and masked before anything is learnt. Counts are told, never what was found.

Rules find what has a form (addresses of e-mail, telephone numbers, IBANs, cards, IP addresses). Names and streets have
none, and are not found.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.examples import Array, Examples
from steelyard.errors import UsageError
from steelyard.numbers import count
from steelyard.preparation.columnwise import none_of, word_inputs
from steelyard.preparation.steps import Serving
from steelyard.records.base import Record

KINDS = ("email", "ip", "iban", "card", "phone")
"""In the order in which they are looked for: a card's number would pass for a telephone's."""


def luhn(number: str) -> bool:
    """Whether the digits of `number` have the check digit of cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(digit) for digit in number if digit.isdigit()]
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether an IBAN's check digits are right: as a number it leaves 1 when divided by 97 (ISO 13616)."""
    plain = re.sub(r"\s", "", text).upper()
    moved = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def is_ip(text: str) -> bool:
    """Whether this is an address of version 4 or 6."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _always(_text: str) -> bool:
    return True


@dataclass(frozen=True)
class Rule:
    """What a kind of personal data looks like, and a check that what looks so is."""

    pattern: re.Pattern[str]
    holds: Callable[[str], bool] = _always


_RULES: Mapping[str, Rule] = {
    "email": Rule(re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    "ip": Rule(
        re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:]|\.\d)"),
        is_ip,
    ),
    "iban": Rule(re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ ]?[A-Za-z0-9]{4}){2,7}(?:[ ]?[A-Za-z0-9]{1,3})?\b"), is_iban),
    "card": Rule(re.compile(r"(?<![\w+])\d(?:[ -]?\d){12,18}(?!\w)"), luhn),
    "phone": Rule(
        re.compile(
            r"(?<![\w+])(?<!\d[./-])(?:(?:\+|00)\d(?:[ ()./-]{0,2}\d){6,13}"  # +49 (0)30 123456
            r"|\(\d{2,5}\)[ ./-]?\d(?:[ ./-]?\d){4,9}"  # (555) 123-4567
            r"|\d{3}[ .-]\d{3}[ .-]\d{4}"  # 555-123-4567
            r"|0\d{1,5}[ /-]\d(?:[ ./-]?\d){3,9})(?![\w])"  # 030 123456
        )
    ),
}


class Masked(Record):
    """Rules that mask."""

    told: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    own: dict[str, str]

    @property
    def serving(self) -> Serving:
        """Nothing that a model could do itself: `masked` is to be called on texts before they are sent."""
        return {}

    def unwanted(self, examples: Examples) -> NDArray[np.bool_]:
        """None."""
        return none_of(examples)

    def apply(self, examples: Examples) -> Examples:
        """The same items with `<email>` and the like in place of what was found."""
        inputs = dict(examples.inputs)
        for name in self.columns:
            inputs[name], _ = _masked_column(inputs[name], rules(self.kinds, self.own))
        return examples.with_inputs(inputs)


class Personal(Record):
    """Mask personal data in text and in columns of words: these `kinds`, and `own` ones (name → regular expression)."""

    kinds: tuple[str, ...] = KINDS
    own: dict[str, str] = {}
    columns: tuple[str, ...] = ()

    def fit(self, examples: Examples) -> Masked:
        """Raises UsageError for an unknown kind or a pattern that is none, DataError for a column that is not there."""
        columns = word_inputs(examples, self.columns, "personal")
        looked_for = rules(self.kinds, self.own)
        found: Counter[str] = Counter()
        items = none_of(examples)
        for name in columns:
            changed, counts = _masked_column(examples.inputs[name], looked_for)
            items |= changed != examples.inputs[name]
            found.update(counts)
        told = ", ".join(f"{count(number)} × {kind}" for kind, number in sorted(found.items()))
        return Masked(
            told=f"personal data masked in {count(int(items.sum()))} items: {told}" if found else "",
            columns=tuple(columns),
            kinds=self.kinds,
            own=self.own,
        )


def rules(kinds: tuple[str, ...] = KINDS, own: Mapping[str, str] | None = None) -> dict[str, Rule]:
    """The rules of these names, and own ones. Raises UsageError when there is no such rule, or a pattern is none."""
    unknown = [kind for kind in kinds if kind not in _RULES]
    if unknown:
        raise UsageError(f"no kind of personal data is called {unknown[0]!r}", f"there are {', '.join(KINDS)}")
    chosen = {kind: _RULES[kind] for kind in KINDS if kind in kinds}
    for name, pattern in (own or {}).items():
        try:
            chosen[name] = Rule(re.compile(pattern))
        except re.error as error:
            raise UsageError(f"the pattern {name!r} for personal data is no regular expression: {error}") from None
        if chosen[name].pattern.match(""):
            raise UsageError(f"the pattern {name!r} for personal data matches where there is nothing")
    return chosen


def masked(text: str, looked_for: Mapping[str, Rule]) -> tuple[str, Counter[str]]:
    """The text with `<kind>` in place of what was found, and how often each kind was."""
    found: Counter[str] = Counter()
    for kind, rule in looked_for.items():

        def replaced(match: re.Match[str], kind: str = kind, rule: Rule = rule) -> str:
            if not rule.holds(match[0]):
                return match[0]
            found[kind] += 1
            return f"<{kind}>"

        text = rule.pattern.sub(replaced, text)
    return text, found


def _masked_column(values: Array, looked_for: Mapping[str, Rule]) -> tuple[Array, Counter[str]]:
    found: Counter[str] = Counter()
    changed = []
    for value in values:
        text, counts = (None, Counter[str]()) if value is None else masked(str(value), looked_for)
        changed.append(text)
        found.update(counts)
    return np.array(changed, object), found
