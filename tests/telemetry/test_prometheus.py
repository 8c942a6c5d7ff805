"""What Prometheus reads: a text that its parser takes, figures that are right, and the dashboard that asks for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from steelyard.serve.canary import Terms
from steelyard.serve.served import Promise
from steelyard.telemetry import live
from steelyard.telemetry.metrics import metrics_page
from watched import VARIANTS, Made

DASHBOARD = Path(live.__file__).with_name("assets") / "grafana.json"
OURS = re.compile(r"\b(?:steelyard|process)_[a-z_]+\b")


@pytest.fixture
def made() -> Iterator[Made]:
    made = Made()
    yield made
    made.close()


def families(made: Made) -> list[Metric]:
    page = metrics_page(made.repository, made.history)({})
    assert page.status == 200
    assert dict(page.headers)[b"content-type"].startswith(b"text/plain; version=0.0.4")
    return list(text_string_to_metric_families(page.body.decode()))


def value(made: Made, name: str, **labels: str) -> float | None:
    """Of the one sample that has these labels; None when there is none."""
    found = [
        sample.value
        for family in families(made)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) <= 1, (name, labels)
    return found[0] if found else None


def test_requests_are_counted_by_what_became_of_them(made: Made) -> None:
    made.batch(0, [0.01, 0.02, 0.2])
    statistics = made.model().statistics
    statistics.refused()
    statistics.failed(0.1, expired=True)
    statistics.failed(0.1, expired=True)
    statistics.failed(0.1, withdrawn=True)
    statistics.failed(0.1)
    told = {
        outcome: value(made, "steelyard_requests_total", outcome=outcome)
        for outcome in ("answered", "refused", "expired", "withdrawn", "failed")
    }
    assert told == {"answered": 3, "refused": 1, "expired": 2, "withdrawn": 1, "failed": 1}
    assert value(made, "steelyard_late_total", model="digits", version="1") == 1


def test_latencies_and_batches_are_cumulative_histograms(made: Made) -> None:
    made.batch(0, [0.004, 0.005, 0.03])
    made.batch(0, [20.0])
    seconds = "steelyard_request_duration_seconds"
    counts = [
        value(made, f"{seconds}_bucket", le=bound) for bound in ("0.002", "0.005", "0.02", "0.05", "10.0", "+Inf")
    ]
    assert counts == [0, 2, 2, 3, 3, 4]
    assert value(made, f"{seconds}_sum") == pytest.approx(20.039)
    assert value(made, f"{seconds}_count") == 4
    of = {"variant": "original"}
    sizes = [value(made, "steelyard_batch_size_bucket", le=bound, **of) for bound in ("1.0", "2.0", "4.0")]
    assert sizes == [1, 1, 2]
    assert value(made, "steelyard_batch_size_sum", **of) == 4
    assert value(made, "steelyard_batch_duration_seconds_count", **of) == 2
    assert value(made, "steelyard_batch_duration_seconds_sum", **of) == pytest.approx(10.015)
    assert value(made, "steelyard_queue_duration_seconds_sum") == pytest.approx(20.039 / 4)


def test_what_is_told_of_lately_is_weighted_by_items(made: Made) -> None:
    made.batch(0, [0.01] * 3)
    made.second()
    made.batch(2, [0.01])
    made.model().statistics.refused()
    made.second()
    assert value(made, "steelyard_served_quality") == pytest.approx((3 * 0.91 + 0.85) / 4)
    assert value(made, "steelyard_cost_per_thousand") == pytest.approx((3 * 4 + 1) / 4)
    assert value(made, "steelyard_slo_violation_ratio") == pytest.approx(1 / 5)
    shares = [value(made, "steelyard_variant_share", variant=name) for name, _, _ in VARIANTS]
    assert shares == [0.75, 0, 0.25]
    assert value(made, "steelyard_variant_switches_total") == 1


def test_what_was_a_minute_ago_is_not_lately(made: Made) -> None:
    made.batch(2, [0.2])
    made.second()
    for _ in range(61):
        made.second()
    for name in ("steelyard_served_quality", "steelyard_slo_violation_ratio", "steelyard_cost_per_thousand"):
        assert value(made, name) is None
    made.batch(0, [0.01])
    made.second()
    assert value(made, "steelyard_served_quality") == 0.91
    assert value(made, "steelyard_slo_violation_ratio") == 0


def test_it_is_told_in_which_currency_costs_are() -> None:
    made = Made(promise=Promise(0.05, 95, currency="EUR"))
    assert value(made, "steelyard_cost_currency_info", currency="EUR") == 1
    made.close()


def test_what_is_not_known_is_left_out() -> None:
    made = Made(promise=Promise(float("inf")), priced=False)
    made.batch(1, [0.01])
    made.second()
    for name in (
        "steelyard_latency_bound_seconds",
        "steelyard_slo_target_ratio",
        "steelyard_cost_per_thousand",
        "steelyard_variant_cost_per_thousand",
        "steelyard_cost_currency_info",
    ):
        assert value(made, name) is None
    assert value(made, "steelyard_served_quality") == 0.9
    made.close()


def test_what_stands_now_is_told(made: Made) -> None:
    assert value(made, "steelyard_model_ready") == 1
    made.missing = 2
    assert value(made, "steelyard_model_ready") == 0
    assert value(made, "steelyard_processes_missing", variant="distilled") == 2
    assert value(made, "steelyard_latency_bound_seconds") == 0.05
    assert value(made, "steelyard_slo_target_ratio") == 0.95
    assert value(made, "steelyard_queue_length") == 0
    assert value(made, "steelyard_workers") == 2
    assert value(made, "steelyard_variant_quality", variant="int8-nncf") == 0.9


def test_disagreement_in_the_shadow_is_counted_by_variant(made: Made) -> None:
    made.compared(2, disagrees=True)
    made.compared(2, disagrees=False)
    assert value(made, "steelyard_shadow_items_total", variant="distilled") == 2
    assert value(made, "steelyard_shadow_disagreements_total", variant="distilled") == 1


def test_a_new_version_has_series_of_its_own_and_an_unloaded_model_has_none(made: Made) -> None:
    made.batch(0, [0.01])
    made.second()
    made.repository.load("digits")
    assert value(made, "steelyard_requests_total", version="1") is None
    assert value(made, "steelyard_requests_total", version="2", outcome="answered") == 0
    made.repository.unload("digits")
    assert value(made, "steelyard_model_ready") is None
    made.second()
    assert [family.name for family in families(made) if family.name == "steelyard_server_info"]


def test_every_metric_has_a_help_and_a_unit_where_it_measures(made: Made) -> None:
    made.busy(3)
    for family in families(made):
        assert family.documentation, family.name
        assert not family.name.endswith(("_ms", "_milliseconds", "_percent"))
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)


def test_a_canary_has_series_of_its_own_and_its_end_is_told() -> None:
    made = tried()
    assert value(made, "steelyard_canary_share", model="digits", version="2") is None
    assert value(made, "steelyard_canary_share", model="digits", version="3") == 0.25
    made.batch(0, [0.01] * 3)
    made.batch(0, [0.01], of=made.canary().model)
    made.second()
    for version, requests in (("1", 3), ("3", 1)):
        of = {"version": version}
        assert value(made, "steelyard_requests_total", outcome="answered", **of) == requests
        assert value(made, "steelyard_served_quality", **of) == 0.91
    rule = {"version": "3", "rule": "failures"}
    verdicts = ("pass", "undecided", "fail")
    assert [value(made, "steelyard_canary_verdict", verdict=each, **rule) for each in verdicts] == [0, 1, 0]
    ended = {"model": "digits", "outcome": "replaced", "reason": "replaced"}
    assert value(made, "steelyard_canaries_ended_total", **ended) == 1
    assert (value(made, "steelyard_canary_last_end_timestamp_seconds", version="2", **ended) or 0) > 0
    made.repository.slot("digits").settle(made.canary(), made.canary().ended("promoted", "kept", "it is good"))
    assert value(made, "steelyard_canary_share", model="digits") is None
    assert value(made, "steelyard_model_ready", version="3") == 1
    assert value(made, "steelyard_model_ready", version="1") is None
    assert value(made, "steelyard_canaries_ended_total", outcome="promoted") == 1
    made.close()


def tried() -> Made:
    """Version 3 is a canary, looked at once, version 2 was one."""
    made = Made(promise=Promise(0.05, 95, currency="USD"), canary=Terms(share=0.25, for_s=3600))
    made.repository.load("digits")
    made.repository.load("digits")
    made.history.look()
    made.canary().look()
    return made


def test_the_dashboard_asks_only_for_what_is_there() -> None:
    made = tried()
    made.busy(3)
    made.compared(2, disagrees=True)
    there = {sample.name for family in families(made) for sample in family.samples}
    asked = set(OURS.findall(" ".join(expressions(json.loads(DASHBOARD.read_text(encoding="utf-8"))))))
    assert len(asked) > 15
    assert asked - there == set()
    families_asked = {re.sub("_(total|bucket|sum|count)$", "", name) for name in asked}
    missing = {family.name for family in families(made) if family.name.startswith("steelyard_")} - families_asked
    # Shown through something else: a cost per variant by what was served, shares by the rate of items.
    assert missing == {"steelyard_variant_share", "steelyard_variant_cost_per_thousand"}
    made.close()


def expressions(node: Any) -> list[str]:
    """All that a dashboard asks Prometheus."""
    if isinstance(node, dict):
        own = [text for key, text in node.items() if key in ("expr", "definition") and isinstance(text, str)]
        return own + [found for child in node.values() for found in expressions(child)]
    if isinstance(node, list):
        return [found for child in node for found in expressions(child)]
    return []


def test_the_dashboard_has_panels_that_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
