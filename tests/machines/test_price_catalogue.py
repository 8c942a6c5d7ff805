"""Reading catalogues: the shipped ones, one's own, and faulty ones."""

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
    assert len(shipped) == 1345 + 249 + 67
    assert shipped["c7a.large"] == Offer(
        name="c7a.large",
        per_hour=0.10264,
        currency="USD",
        vcpu=2,
        memory_mb=4294,
        arch="x86_64",
        cpu_vendor="amd",
        cpu="AMD EPYC Genoa",
        features=("avx2", "f16c", "fma", "avx512f", "avx512_vnni", "avx512_bf16"),
        source="AWS on-demand us-east-1, 2026-07-20 (catalogue shipped with Steelyard)",
    )
    assert (shipped["g6.12xlarge"].gpu_count, shipped["g6.12xlarge"].gpu_name) == (4, "l4")
    assert shipped["c7g.large"].arch == "aarch64"


def test_own_catalogue_in_dollars(tmp_path: Path) -> None:
    (offer,) = offers(written(tmp_path, "machine,usd_per_hour\nbox,0.5\n"))
    assert offer == Offer(name="box", per_hour=0.5, currency="USD", source="own.csv (catalogue of your own)")


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
        source="own.csv (catalogue of your own)",
    )
    assert second == Offer(name="b", per_hour=1.0, currency="CHF", source="own.csv (catalogue of your own)")


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
        ("machine,usd_per_hour\na,\n", "line 2: usd_per_hour is empty: a machine without a price"),
        ("machine,price_per_hour,currency\na,x,EUR\n", "line 2: price_per_hour is a number above 0, got 'x'"),
        ("machine,price_per_hour,currency\na,1,\n", "line 2: currency is a code of three letters such as EUR, got ''"),
        ("machine,price_per_hour,currency\na,1,euros\n", "line 2: currency is a code of three letters"),
        ("machine,price_per_hour,currency\na,1,EUX\n", "such as EUR, got 'EUX'"),
        ("machine,usd_per_hour,spot_usd_per_hour\na,1,0\n", "line 2: spot_usd_per_hour is a number above 0, got '0'"),
        ("machine,usd_per_hour,spot_usd_per_hour\na,1,-2\n", "spot_usd_per_hour is a number above 0, got '-2'"),
        ("machine,usd_per_hour,spot_price_per_hour\na,1,1\n", "both usd_per_hour and spot_price_per_hour"),
        ("machine,usd_per_hour\n,1\n", "line 2: machine is empty"),
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


def test_each_cloud_has_prices_with_region_date_and_processor() -> None:
    shipped = {offer.name: offer for offer in offers()}
    google, azure = shipped["n2d-standard-2"], shipped["Standard_D2s_v5"]
    assert (google.per_hour, google.spot_per_hour, google.vcpu, google.memory_mb) == (0.084492, 0.037436, 2, 8589)
    assert google.source.startswith("GCP on-demand and spot us-central1, 2026 ")
    assert (azure.per_hour, azure.spot_per_hour) == (0.096, None)
    assert azure.source.startswith("Azure pay-as-you-go eastus2, 2023-12-18 ")
    assert {"amx_int8", "amx_bf16"} <= set(shipped["c3-standard-4"].features) & set(shipped["m7i.large"].features)
    assert shipped["Standard_D2ps_v5"].arch == shipped["c4a-standard-4"].arch == "aarch64"
    assert (shipped["g2-standard-24"].gpu_count, shipped["g2-standard-24"].gpu_name) == (2, "L4")


def test_shipped_spot_prices_are_below_those_on_demand() -> None:
    both = [(offer.spot_per_hour, offer.per_hour) for offer in offers() if offer.spot_per_hour is not None]
    assert len(both) == 249
    assert all(0 < spot < on_demand for spot, on_demand in both)


@pytest.mark.parametrize("series", ["n2d-standard", "c3-standard", "Standard_D{}s_v5", "Standard_F{}s_v2"])
def test_prices_within_a_series_rise_with_its_vcpu(series: str) -> None:
    of_series = [o for o in offers() if series.format(o.vcpu) in o.name]
    assert len(of_series) > 5
    assert max(o.per_hour / (o.vcpu or 1) for o in of_series) == pytest.approx(
        min(o.per_hour / (o.vcpu or 1) for o in of_series), rel=0.01
    )


def test_own_catalogue_with_spot_prices_dates_and_sources(tmp_path: Path) -> None:
    text = (
        "machine,price_per_hour,spot_price_per_hour,currency,cpu,features,date,source\n"
        "box,0.5,0.2,EUR,Epyc,AVX512_VNNI avx2,2026-11-01,https://example.org/prices\nother,1,,EUR,,,,\n"
    )
    box, other = offers(written(tmp_path, text))
    assert (box.spot_per_hour, other.spot_per_hour) == (0.2, None)
    assert (box.cpu, box.features) == ("Epyc", ("avx2", "avx512_vnni"))
    assert box.source == "own.csv (catalogue of your own), 2026-11-01, https://example.org/prices"


def test_spot_price_by_name(tmp_path: Path) -> None:
    price = price_of("n2d-standard-2", spot=True)
    assert (price.per_hour, price.other_per_hour, price.spot) == (0.037436, 0.084492, True)
    on_demand = price_of("n2d-standard-2")
    assert (on_demand.per_hour, on_demand.other_per_hour, on_demand.spot) == (0.084492, 0.037436, False)
    with pytest.raises(UsageError, match=r"no spot price of m7a\.large is known") as caught:
        price_of("m7a.large", spot=True)
    assert "--price 0.03USD/h --machine m7a.large --spot" in caught.value.hint
