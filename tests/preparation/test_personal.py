"""Personal data is found by its form, masked, and counted; what was found is never told."""

from __future__ import annotations

import pytest

from made_examples import columns, texts
from steelyard.errors import DataError, UsageError
from steelyard.preparation.personal import Personal, is_iban, luhn, masked, rules


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to anna.b+x@mail.example.co.uk.", "write to <email>."),
        ("ANNA@EXAMPLE.COM, bob@example.org", "<email>, <email>"),
        ("from 192.168.0.17 and 2001:db8::ff00:42:8329", "from <ip> and <ip>"),
        ("pay to DE89 3704 0044 0532 0130 00 today", "pay to <iban> today"),
        ("GB82WEST12345698765432", "<iban>"),
        ("card 4111 1111 1111 1111, code 123", "card <card>, code 123"),
        ("5500-0000-0000-0004", "<card>"),
        ("call +49 (0)30 123456 now", "call <phone> now"),
        ("0049 30 123456", "<phone>"),
        ("(555) 123-4567 or 555-123-4567", "<phone> or <phone>"),
        ("Tel. 030 123456", "Tel. <phone>"),
        ("a@b.cd 4111111111111111 +1 202 555 0123", "<email> <card> <phone>"),
    ],
)
def test_found(text: str, expected: str) -> None:
    assert masked(text, rules())[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "card 4111 1111 1111 1112",  # the check digit is wrong
        "version 1.2.3.4.5 and 999.1.1.1",
        "on 2015-02-04 17:51:00",
        "I was charged 1500000 twice, 12,000.00 in total",
        "@home, a@b, at 12:30",
        "order 20240131 of 77 items",
    ],
)
def test_not_found(text: str) -> None:
    assert masked(text, rules())[0] == text


def test_check_digits() -> None:
    assert luhn("79927398713000") is False
    assert luhn("4539 1488 0343 6467")
    assert not luhn("4539 1488 0343 6468")
    assert not luhn("0")
    assert is_iban("FR14 2004 1010 0505 0001 3M02 606")
    assert not is_iban("FR14 2004 1010 0505 0001 3M02 607")
    assert "<iban>" not in masked("DE88 3704 0044 0532 0130 00", rules())[0]


def test_texts_are_masked_and_only_counts_are_told() -> None:
    data = texts("mail a@b.cd or c@d.ef", "nothing", "+49 30 1234567", None)
    fitted = Personal().fit(data)
    assert fitted.told == "personal data masked in 2 items: 2 × email, 1 × phone"
    assert fitted.apply(data).inputs["text"].tolist() == ["mail <email> or <email>", "nothing", "<phone>", None]
    assert data.inputs["text"][0] == "mail a@b.cd or c@d.ef"
    other = fitted.apply(texts("x@y.zz"))
    assert other.inputs["text"].tolist() == ["<email>"]
    assert Personal().fit(texts("nothing", "at all")).told == ""


def test_kinds_columns_and_patterns_of_ones_own() -> None:
    data = columns(note=["K-12345 a@b.cd", "x"], town=["a@b.cd", "oslo"])
    fitted = Personal(kinds=("email",), own={"customer": r"\bK-\d{5}\b"}, columns=("note",)).fit(data)
    done = fitted.apply(data)
    assert done.inputs["note"].tolist() == ["<customer> <email>", "x"]
    assert done.inputs["town"].tolist() == ["a@b.cd", "oslo"]
    both = Personal(kinds=("email",)).fit(data)
    assert both.told == "personal data masked in 1 items: 2 × email"


def test_rules_that_are_none() -> None:
    data = texts("a", "b")
    with pytest.raises(UsageError, match="no kind of personal data is called 'mail'"):
        Personal(kinds=("mail",)).fit(data)
    with pytest.raises(UsageError, match="the pattern 'x' for personal data is no regular expression"):
        Personal(own={"x": "("}).fit(data)
    with pytest.raises(UsageError, match="matches where there is nothing"):
        Personal(own={"x": "a*"}).fit(data)
    with pytest.raises(DataError, match="names 'z', which is not there"):
        Personal(columns=("z",)).fit(data)


def test_a_long_text_takes_no_longer_than_its_length() -> None:
    """Patterns that try every way through a text would never come back from these."""
    for unit in ("1 ", "a.", "1-", "ab12 ", "1:", "(1", "@a.", "+1 "):
        masked(unit * 20_000, rules())
