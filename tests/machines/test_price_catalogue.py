"""Reading catalogues: the shipped one, one's own, and faulty ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.errors import UsageError
from steelyard.machines import catalogue
from steelyard.machines.prices import Offer, offers, price_of


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "own.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_shipped_catalogue() -> None:
    shipped = {offer.name: offer for offer in offers()}
    assert len(shipped) == 1345
    assert shipped["c7a.large"] == Offer(
        name="c7a.large", per_hour=0.10264, currency="USD", vcpu=2, memory_mb=4294, arch="x86_64", cpu_vendor="amd"
    )
    assert (shipped["g6.12xlarge"].gpu_count, shipped["g6.12xlarge"].gpu_name) == (4, "l4")
    assert shipped["c7g.large"].arch == "aarch64"


def test_own_catalogue_in_dollars(tmp_path: Path) -> None:
    (offer,) = offers(written(tmp_path, "machine,usd_per_hour\nbox,0.5\n"))
    assert offer == Offer(name="box", per_hour=0.5, currency="USD")


def test_own_catalogue_in_another_currency_with_everything(tmp_path: Path) -> None:
    text = (
        "\ufeffcurrency, price_per_hour ,machine,arch,vcpu,memory_mib,cpu_vendor,gpu_count,gpu_name,note\r\n"
        "\r\n"
        'eur, 0.05 ,"cx, ""big""",arm64,4,1000,AMD,1,L4,mine\r\n'
        ",,,,,,,,,\r\n"
        "chf,1,b,,,,,,,\r\n"
    )
    first, second = offers(written(tmp_path, text))
    assert first == Offer(
        name='cx, "big"',
        per_hour=0.05,
        currency="EUR",
        vcpu=4,
        memory_mb=1048,
        arch="aarch64",
        cpu_vendor="amd",
        gpu_count=1,
        gpu_name="L4",
    )
    assert second == Offer(name="b", per_hour=1.0, currency="CHF")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the columns of a catalogue, it has: none"),
        ("machine;usd_per_hour\na;1\n", "it has: machine;usd_per_hour"),
        ("name,usd_per_hour\na,1\n", "it has: name, usd_per_hour"),
        ("machine,price_per_hour\na,1\n", "it has: machine, price_per_hour"),
        ("machine,usd_per_hour,price_per_hour,currency\na,1,1,EUR\n", "both usd_per_hour and price_per_hour"),
        ("machine,machine,usd_per_hour\na,b,1\n", "the column 'machine' more than once"),
        ("machine,usd_per_hour\n\n", "holds no machine"),
        ("machine,usd_per_hour\na,1\nb,free\n", "own.csv, line 3: usd_per_hour is a number above 0, got 'free'"),
        ("machine,usd_per_hour\n\n\na,-1\n", "own.csv, line 4: usd_per_hour is a number above 0, got '-1'"),
        ("machine,usd_per_hour\na,0\n", "line 2: usd_per_hour is a number above 0, got '0'"),
        ("machine,usd_per_hour\na,nan\n", "line 2: usd_per_hour is a number above 0, got 'nan'"),
        ("machine,usd_per_hour\na,1e999\n", "line 2: usd_per_hour is a number above 0, got '1e999'"),
        ("machine,usd_per_hour\na,\n", "line 2: usd_per_hour is a number above 0, got ''"),
        ("machine,price_per_hour,currency\na,x,EUR\n", "line 2: price_per_hour is a number above 0, got 'x'"),
        ("machine,price_per_hour,currency\na,1,\n", "line 2: the currency is empty"),
        ("machine,usd_per_hour\n,1\n", "line 2: the name of the machine is empty"),
        ("machine,usd_per_hour\na,1\nb,2\na,3\n", "line 4: a was given already in line 2"),
        ("machine,usd_per_hour\na,1\nb,1,5\n", "line 3: expected 2 fields as in the header, got 3"),
        ("machine,usd_per_hour\na\n", "line 2: expected 2 fields as in the header, got 1"),
        ('machine,usd_per_hour\n"a,1\n', "line 2: unexpected end of data"),
        ("machine,usd_per_hour,vcpu\na,1,two\n", "line 2: vcpu is a whole number, got 'two'"),
        ("machine,usd_per_hour,vcpu\na,1,-2\n", "line 2: vcpu is a whole number, got '-2'"),
        ("machine,usd_per_hour,memory_mib\na,1,²\n", "line 2: memory_mib is a whole number, got '²'"),
        ("machine,usd_per_hour\n" + "a" * 200_000 + ",1\n", "line 2: field larger than field limit"),
        (b"machine,usd_per_hour\n\xff,1\n", "own.csv is not UTF-8 text (byte 21)"),
    ],
)
def test_faulty_catalogue_says_where(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        offers(written(tmp_path, text))
    assert message in caught.value.message
    assert caught.value.hint


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    text = 'machine,usd_per_hour,note\na,1,"two\nlines"\nb,1,odd\u2028\x0c\nc,x,\n'
    with pytest.raises(UsageError, match=r"line 5: usd_per_hour .* got 'x'"):
        offers(written(tmp_path, text))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv cannot be read: No such file"):
        offers(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        offers(tmp_path)


def test_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MOST_BYTES", 30)
    text = "machine,usd_per_hour\nabcdef,1\n"
    assert len(text) == 30
    assert len(offers(written(tmp_path, text))) == 1
    with pytest.raises(UsageError, match="larger than a catalogue may be"):
        offers(written(tmp_path, text + "\n"))


def test_price_from_ones_own_catalogue(tmp_path: Path) -> None:
    path = written(tmp_path, "machine,price_per_hour,currency\nbox,0.5,eur\n")
    price = price_of("box", path)
    assert (price.per_hour, price.currency, price.machine) == (0.5, "EUR", "box")
    assert price.source == "own.csv (catalogue of your own)"
    with pytest.raises(UsageError, match=r"'c7a\.large' is not in own\.csv \(1 machines\)"):
        price_of("c7a.large", path)
