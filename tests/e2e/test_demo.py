"""The demo as a new user runs it, and everything that can be done with what it leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import Ran, run_here, run_in
from steelyard.assets import mnist_test


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(place: Path) -> Ran:
    return run_in(place, "demo", "--within", "25s", "--format", "json")


@pytest.fixture(scope="module")
def plan(demo: Ran) -> dict[str, Any]:
    found: dict[str, Any] = demo.json
    return found


def test_it_ends_well_and_prints_only_the_plan(demo: Ran, plan: dict[str, Any]) -> None:
    assert demo.status == 0, demo.err
    assert plan["schema"] == "steelyard.plan/1"
    assert plan["status"] == "met"


def test_the_plan_says_everything_that_was_promised(plan: dict[str, Any]) -> None:
    assert {"id", "variant", "runtime", "threads", "max_batch", "machine"} <= plan["chosen"].keys()
    assert {"metric", "value", "reference", "drop", "bound", "verdict"} <= plan["quality"].keys()
    assert {"p50", "p95", "p99"} <= plan["latency"].keys()
    assert {"per_million", "per_month", "currency"} <= plan["cost"].keys()
    assert {"quality", "latency", "capacity_per_replica", "replicas", "cost"} <= plan["reference"].keys()
    assert {"speed", "cost"} <= plan["gain"].keys()
    assert {"seconds", "measured", "ruled_out"} <= plan["search"].keys()
    assert all(candidate["reason"] for candidate in plan["candidates"])
    assert plan["chosen"]["id"] in plan["front"]


def test_it_is_faster_and_as_good(plan: dict[str, Any]) -> None:
    assert plan["gain"]["speed"] > 1.2
    assert plan["quality"]["verdict"] == "pass"
    assert plan["quality"]["confirmed"]
    assert plan["quality"]["bound"] <= 0.01
    assert plan["quality"]["value"] > 0.98
    assert plan["latency"]["p95"] <= 5


def test_items_that_calibrate_select_and_confirm_are_not_the_same(plan: dict[str, Any]) -> None:
    subject = plan["subject"]
    used = subject["items_calibrate"] + subject["items_select"] + subject["items_confirm"]
    with np.load(mnist_test(), allow_pickle=False) as arrays:
        assert used <= len(arrays["x"])
    assert plan["quality"]["items"] == subject["items_confirm"]


def test_the_bundle_holds_what_was_measured(place: Path, plan: dict[str, Any]) -> None:
    bundle = place / "demo-plan"
    written = json.loads((bundle / "plan.json").read_text())
    assert written["chosen"] == plan["chosen"]
    assert "<html" in (bundle / "report.html").read_text()
    assert (bundle / "artefacts" / plan["chosen"]["variant"]).is_dir()


def test_check_holds(place: Path, demo: Ran) -> None:
    checked = run_in(place, "check", "demo-plan", "--format", "json")
    assert {finding["what"] for finding in checked.json["findings"]} == {"hashes", "quality", "speed"}
    assert checked.status == 0, checked.out


def test_check_refuses_a_changed_artefact(place: Path, plan: dict[str, Any]) -> None:
    changed = place / "changed"
    shutil.copytree(place / "demo-plan", changed)
    artefact = next(f for f in (changed / "artefacts").rglob("*") if f.suffix in (".onnx", ".bin"))
    artefact.write_bytes(artefact.read_bytes()[:-1] + b"!")
    checked = run_in(place, "check", "changed")
    assert checked.status == 2
    assert "its hash has changed" in checked.err


def test_check_fails_on_data_that_the_model_is_bad_at(place: Path, demo: Ran) -> None:
    with np.load(mnist_test(), allow_pickle=False) as arrays:
        noise = np.random.default_rng(0).integers(0, 255, (2000, 1, 28, 28), dtype=np.uint8)
        np.savez(place / "noise.npz", x=noise, y=arrays["y"][:2000])
    checked = run_in(place, "check", "demo-plan", "--data", "noise.npz", "--format", "json")
    quality = next(f for f in checked.json["findings"] if f["what"] == "quality")
    assert checked.status == (0 if quality["holds"] else 3)
    assert "accuracy 0.1" in quality["told"] or "accuracy 0.0" in quality["told"]


def test_decide_answers_other_requirements_without_measuring(place: Path, plan: dict[str, Any]) -> None:
    rate = f"{2.5 * plan['capacity_per_replica']:.0f}/s"
    decided = run_here(place, "decide", "--p95", "5ms", "--rate", rate, "--price", "0.2USD/h", "--format", "json")
    assert decided.status == 0, decided.err
    assert decided.json["search"]["measured"] == 0
    assert decided.json["replicas"] == 3
    assert decided.json["cost"]["currency"] == "USD"
    assert decided.json["search"]["complete"] == plan["search"]["complete"], "a rate changes nothing about the search"


def test_decide_tells_that_nothing_was_searched_for_other_requirements(place: Path, demo: Ran) -> None:
    decided = run_here(place, "decide", "--p95", "50ms", "--format", "json").json
    assert not decided["search"]["complete"]
    assert any("No search for these requirements came to its end" in warning for warning in decided["warnings"])


def test_decide_on_a_bundle_keeps_its_requirements(place: Path, plan: dict[str, Any]) -> None:
    decided = run_here(place, "decide", "demo-plan", "--format", "json")
    assert decided.json["requirements"] == plan["requirements"]
    assert decided.json["chosen"] == plan["chosen"]
    other = run_here(place, "decide", "demo-plan", "--rate", "10/s", "--format", "json")
    assert other.json["requirements"] == plan["requirements"] | {"rate_per_s": 10.0}


def test_decide_answers_for_other_arrivals_without_measuring(place: Path, plan: dict[str, Any]) -> None:
    (place / "busy.csv").write_text("time,count\n" + "\n".join(f"{60 * m},{9 if m % 8 else 500}" for m in range(64)))
    bursts = run_here(place, "decide", "demo-plan", "--arrivals", "gamma:4", "--format", "json").json
    busy = run_here(place, "decide", "demo-plan", "--arrivals", "trace:busy.csv", "--format", "json").json
    for decided in (bursts, busy):
        assert decided["search"]["measured"] == 0
    # Where the machine is fast beside the bound, bursts change nothing; the busy minutes of the trace always do.
    assert bursts["capacity_per_replica"] <= plan["capacity_per_replica"]
    assert busy["capacity_per_replica"] < plan["capacity_per_replica"] / 2
    assert bursts["requirements"]["arrivals"]["cv"] == 4
    assert busy["requirements"]["arrivals"]["source"] == "busy.csv"
    assert any("trace busy.csv: 64 stretches of 60 s" in warning for warning in busy["warnings"])
    (place / "busy.toml").write_text('[requirements]\np95 = "5ms"\narrivals = "trace:busy.csv"\n')
    shown = run_here(place, "decide", "--config", "busy.toml")
    assert "trace busy.csv" in shown.out


def test_what_cannot_be_met_ends_with_3_and_says_what_would_help(place: Path, demo: Ran) -> None:
    decided = run_here(place, "decide", "--p95", "1us", "--format", "json")
    assert decided.status == 3
    assert decided.json["status"] == "infeasible"
    assert decided.json["binding"] == ["--p95 0.001ms"]
    relaxed = decided.json["relaxations"][0]["instead"].split()
    assert run_here(place, "decide", *relaxed, "--format", "json").status == 0


def test_the_report_can_be_written_anew(place: Path, demo: Ran) -> None:
    done = run_here(place, "report", "demo-plan", "--out", "again.html")
    assert done.status == 0
    assert (place / "again.html").stat().st_size > 50_000


def test_human_output_tells_the_decision_and_the_others(place: Path, demo: Ran) -> None:
    """The second run takes everything from the ledger."""
    again = run_in(place, "demo", "--within", "1s")
    assert again.status == 0
    for words in ("chosen", "reference", "capacity/replica", "cost per million", "the others, and why", "MNIST"):
        assert words in again.out
    quiet = run_in(place, "demo", "--within", "1s", "--format", "quiet")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
