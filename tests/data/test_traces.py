"""Traces in every form become the same pattern; what is odd is told; what is wrong is refused with its line."""

from __future__ import annotations

import datetime
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.arrivals import arrival_times
from steelyard.data.traces import read_trace
from steelyard.errors import DataError
from steelyard.records.arrivals import MOST_GAPS, MOST_RATES

TIMES = [0.0, 0.5, 0.75, 1.5, 1.75, 3.0, 3.1, 4.0, 5.5, 5.6, 6.5]
GAPS = tuple(float(f"{gap / 0.65:.5g}") for gap in np.diff(TIMES))
DAY = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def written(folder: Path, text: str) -> str:
    file = folder / "trace.txt"
    file.write_text(text)
    return str(file)


# Single requests


@pytest.mark.parametrize(
    "lines",
    [
        [f"{time}" for time in TIMES],
        ["# seconds", "", *(f"{time}" for time in TIMES)],
        ["time", *(f"{time}" for time in TIMES)],
        ["Timestamp,tokens,note", *(f'{time},{i},"a, b"' for i, time in enumerate(TIMES))],
        ["user;ts", *(f"u{i};{time}" for i, time in enumerate(TIMES))],
        [f"{1.7e9 + time}" for time in TIMES],
        [f"{(1.7e9 + time) * 1e3:.0f}" for time in TIMES],
        [(DAY + datetime.timedelta(seconds=time)).isoformat() for time in TIMES],
        ["time", *(str(DAY + datetime.timedelta(seconds=time))[:-6] for time in TIMES)],
        [json.dumps(time) for time in TIMES],
        [json.dumps({"arrival_time": time, "tokens": 3}) for time in TIMES],
        [json.dumps({"ts": (DAY + datetime.timedelta(seconds=time)).isoformat()}) for time in TIMES],
        [json.dumps(TIMES)],
    ],
)
def test_times_of_requests_in_every_form(tmp_path: Path, lines: list[str]) -> None:
    pattern = read_trace(written(tmp_path, "\n".join(lines)))
    assert pattern.gaps == pytest.approx(GAPS, abs=0.002)
    assert pattern.rates == ()
    assert (pattern.kind, len(pattern.sha256)) == ("trace", 64)
    assert pattern.told == ("trace trace.txt: 11 requests in 6.5 s",)
    assert pattern.words == f"trace:{tmp_path / 'trace.txt'}"


def test_times_out_of_order_are_put_in_order_and_told(tmp_path: Path) -> None:
    shuffled = [*TIMES[4:], *TIMES[:4]]
    pattern = read_trace(written(tmp_path, "time\n" + "\n".join(map(str, shuffled))))
    assert pattern.gaps == pytest.approx(GAPS, abs=0.002)
    assert "1 of 11 times lie before the one above them: they were put in order" in pattern.told[1]


def test_dates_out_of_order_need_no_name(tmp_path: Path) -> None:
    numbers = [1.7e9 + time for time in (*TIMES[4:], *TIMES[:4])]
    assert read_trace(written(tmp_path, "\n".join(map(str, numbers)))).gaps == pytest.approx(GAPS, abs=0.002)


def test_a_long_silence_is_told_and_kept(tmp_path: Path) -> None:
    times = [*np.arange(0, 50, 0.5), *np.arange(1000, 1050, 0.5)]
    pattern = read_trace(written(tmp_path, "\n".join(map(str, times))))
    assert any("no request came for 15.8 min, at 49.5 s: kept as it is" in text for text in pattern.told)


def test_whole_seconds_are_not_taken_for_bursts(tmp_path: Path) -> None:
    """A log that tells times to the second does not say that its forty requests of a second came at once."""
    pattern = read_trace(written(tmp_path, "\n".join(str(second) for second in range(100) for _ in range(40))))
    assert pattern.gaps == ()
    assert set(pattern.rates) == {1.0}
    assert any("times are whole seconds" in text for text in pattern.told)


def test_rise_and_fall_is_told_apart_from_the_order_of_requests(tmp_path: Path) -> None:
    """An hour of even gaps, then an hour of gaps a quarter as long: two heights, and within each no variation."""
    times = np.concatenate([np.arange(0, 3600, 4.0), np.arange(3600, 7200, 1.0)])
    pattern = read_trace(written(tmp_path, "\n".join(map(str, times + 0.25))))
    assert np.sort(pattern.rates)[[2, -3]] == pytest.approx([0.4, 1.6], rel=0.05)
    assert len(pattern.rates) * pattern.step_s == pytest.approx(7199, rel=0.01)
    assert np.std(pattern.gaps) < 0.1


def test_a_million_requests_are_kept_in_a_bounded_pattern_with_the_same_spread(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.gamma(0.25, 4 * 0.01, 200_000))
    pattern = read_trace(written(tmp_path, "\n".join(f"{time:.6f}" for time in times)))
    assert len(pattern.rates) <= MOST_RATES
    assert len(pattern.gaps) == MOST_GAPS
    assert np.std(pattern.gaps) == pytest.approx(2, rel=0.1)  # deviation over mean of these gaps


# Rates


RATES = [52, 55, 48, 0, 57, 56, 40]


@pytest.mark.parametrize(
    "text",
    [
        " ".join(map(str, RATES)),
        "\n".join(map(str, RATES)),
        ",".join(map(str, RATES)),
        "rate\n" + "\n".join(map(str, RATES)),
        "requests\n" + "\n".join(map(str, RATES)),
        "time,rate\n" + "\n".join(f"{t},{r}" for t, r in enumerate(RATES)),
        "time,count\n" + "\n".join(f"{t},{r}" for t, r in enumerate(RATES)),
        "\n".join(f"{t},{r}" for t, r in enumerate(RATES)),
        "\n".join(f"{t} {r}" for t, r in enumerate(RATES)),
        "\n".join(json.dumps({"second": 1, "rate": r}) for r in RATES),
        "\n".join(json.dumps({"Timestamp": 1e12 + 1000 * t, "count": r}) for t, r in enumerate(RATES)),
    ],
)
def test_requests_per_second_in_every_form(tmp_path: Path, text: str) -> None:
    pattern = read_trace(written(tmp_path, text))
    assert pattern.rates == pytest.approx(np.array(RATES) / 44, rel=1e-3)
    assert (pattern.step_s, pattern.gaps) == (1.0, ())
    assert pattern.told[0] == "trace trace.txt: 7 stretches of 1 s, on average 44 requests/s"
    assert "in 14.3% of the time no request came" in pattern.told[-1]


def test_counts_are_divided_by_their_steps_and_gaps_are_kept(tmp_path: Path) -> None:
    rows = [(0, 600), (60, 1200), (120, 600), (600, 600), (660, 600)]
    pattern = read_trace(written(tmp_path, "time,count\n" + "\n".join(f"{t},{c}" for t, c in rows)))
    assert pattern.step_s == 60
    assert len(pattern.rates) == 12
    assert np.array(pattern.rates)[[0, 1, 10, 11]] == pytest.approx(np.array([1, 2, 1, 1]) / 0.5, rel=0.01)
    assert sum(rate > 0 for rate in pattern.rates) == 6  # the row before a gap lasts half a step longer, no more
    assert any("1 gaps, the longest of 8 min: kept as time in which no request came" in text for text in pattern.told)


def test_rows_of_rates_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    pattern = read_trace(written(tmp_path, "time,rate\n2,30\n0,10\n1,20\n"))
    assert pattern.rates == (0.5, 1.0, 1.5)
    assert "put in order" in " ".join(pattern.told)


@settings(max_examples=20, deadline=None)
@given(st.integers(MOST_RATES, 20_000), st.integers(0, 5))
def test_a_long_trace_is_as_often_high_and_low_as_the_whole(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    wave = 100 * (1 + 0.8 * np.sin(np.arange(n) / n * 20)) * rng.gamma(20, 1 / 20, n)
    file = tmp_path_factory.mktemp("t") / "rates.txt"
    file.write_text("rate\n" + "\n".join(f"{rate:.0f}" for rate in wave))
    pattern = read_trace(str(file))
    assert len(pattern.rates) == MOST_RATES
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    assert np.quantile(pattern.rates, shares) == pytest.approx(np.quantile(wave / wave.mean(), shares), abs=0.12)


# What is wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n# nothing\n", "is empty"),
        ("[]", "is empty"),
        ("time\n", "holds no rows under its heading"),
        ("1\n2\n3\n", "at least 10 at different times, got 3"),
        ("time\n" + "5\n" * 20, "at least 10 at different times, got 20"),
        ("0\n0\n0\n", "some request, got 3 with 0 requests"),
        ("rate\n7\n", "holds at least two"),
        ("rate\n7\n-2\n", "negative rate: number 2 is -2"),
        ("time\n" + "\n".join(map(str, [-3.5, *TIMES])), "negative times: number 1 is -3.5"),
        ("time\n1\nnan\n", "line 3 of the trace .* holds nan"),
        ("1\n2\ninf\n", "line 3 of the trace .* holds inf"),
        ("time\n1\nyesterday\n", "line 3 of the trace .* cannot be read: 'yesterday'"),
        ("time,rate\n1,5\n2\n", "line 3 of the trace .* cannot be read: ''"),
        ("time,rate\n1,5\n1,6\n2,6\n", "tells the rate at 1 s twice"),
        ("name,size\na,b\n", "columns name, size: none is known"),
        ("1.5\n0.5\n2.5\n", "times out of order, or rates"),
        ('{"time": 1}\n{"time": NaN}', "is not JSON lines"),
        ('{"time": 1}\n{"time": true}', "line 2 of the trace .* cannot be read: 'True'"),
        ("time,rate\n0,1\n1e-9,1\n5,1\n6,1", "steps of"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    if message == "steps of":
        text = "time,rate\n0,1\n1e-9,1\n2e-9,1\n5,1"
    with pytest.raises(DataError, match=message) as error:
        read_trace(written(tmp_path, text))
    assert error.value.hint


def test_no_file_a_folder_and_an_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no trace"):
        read_trace(str(tmp_path / "missing.csv"))
    with pytest.raises(DataError, match="cannot be read"):
        read_trace(str(tmp_path))
    packed = tmp_path / "packed.bz2"
    packed.write_bytes(b"BZh91AY&SY\xff\xfe\x80")
    with pytest.raises(DataError, match="is not text"):
        read_trace(str(packed))


def test_a_real_trace_of_requests_per_second(mirror: Path, tmp_path: Path) -> None:
    with tarfile.open(mirror / "traces_web" / "twitter_workload.tbz2") as archive:
        archive.extract("workload.txt", tmp_path, filter="data")
    pattern = read_trace(str(tmp_path / "workload.txt"))
    rates = np.array((tmp_path / "workload.txt").read_text().split(), np.float64)
    assert "1,899,061 stretches of 1 s" in pattern.told[0]
    assert np.quantile(pattern.rates, 0.99) == pytest.approx(np.quantile(rates, 0.99) / rates.mean(), rel=0.1)
    times = arrival_times(pattern, 200, 20_000, 0.01, np.random.default_rng(0))
    assert times[-1] == pytest.approx(100, rel=0.01)
    per_tenth = np.histogram(times, bins=int(times[-1] * 10))[0]
    assert per_tenth.max() > 3 * per_tenth.mean()
