"""A bundle becomes a model that answers: with its whole ladder, with what fits into memory, or with one rung alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import made_bundles
import made_networks
from made_up import candidate, evidence, service
from steelyard.errors import BundleError
from steelyard.records.machine import Price
from steelyard.records.plan import Plan
from steelyard.records.requirements import Latency, Requirements
from steelyard.scheduling import Single
from steelyard.serve import opening
from steelyard.serve.opening import Options, open_model
from steelyard.serve.served import ServedModel
from steelyard.switching import Controller

ALONE = candidate("original", "onnxruntime", max_batch=1)
ORIGINAL, MIDDLE, FAST = (
    candidate(name, "onnxruntime", threads=1, streams=2) for name in ("original", "middle", "fast")
)
LADDER = ["original", "middle", "fast"]
PROMISED = Requirements(quality_drop=0.02, scenario="server", latency=Latency(percentile=95, bound_ms=60))


def a_plan(requirements: Requirements = PROMISED, memory_mb: float = 100) -> Plan:
    found = {
        ALONE: evidence(ALONE, service(5, 4, [1])),
        ORIGINAL: evidence(ORIGINAL, service(2, 10), memory_mb=memory_mb),
        MIDDLE: evidence(MIDDLE, service(2, 4), worse=0.001),
        FAST: evidence(FAST, service(1, 2), worse=0.004),
    }
    return made_bundles.plan_of(found, made_bundles.TWO_INPUTS, requirements)


def bundled(plan: Plan, folder: Path) -> Path:
    return made_bundles.bundle_of(plan, made_networks.two_inputs(folder / "two.onnx"), folder / "bundle")


@contextmanager
def opened(plan: Plan, folder: Path, options: Options) -> Iterator[ServedModel]:
    model = open_model("two", bundled(plan, folder), 1, options)
    try:
        yield model
    finally:
        model.close()


def variants(model: ServedModel) -> list[str]:
    return [one.variant for one in model.residents]


def test_the_whole_ladder_is_ready(tmp_path: Path) -> None:
    with opened(a_plan(), tmp_path, Options()) as model:
        assert variants(model) == LADDER
        assert isinstance(model.policy, Controller)
        assert [rung.name for rung in model.policy.ladder.rungs] == LADDER
        assert [one.quality for one in model.residents] == [rung.quality for rung in model.policy.ladder.rungs]
        assert model.workers == 2
        assert (model.promise.percentile, model.promise.currency) == (95, Price().currency)


def test_the_chosen_one_alone_takes_all_that_come(tmp_path: Path) -> None:
    with opened(a_plan(), tmp_path, Options(switch=False)) as model:
        assert variants(model) == ["fast"]
        assert model.policy.admits(0.0, 1000) == 0.0


def test_one_rung_alone_refuses_what_it_cannot_answer_in_time(tmp_path: Path) -> None:
    with opened(a_plan(), tmp_path, Options(only="original")) as model:
        assert variants(model) == ["original"]
        assert model.policy.admits(0.0, 2) == 0.0
        assert model.policy.admits(0.0, 1000) > 0.0


def test_what_is_no_rung_cannot_answer_alone(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no rung 'int4'") as raised:
        open_model("two", bundled(a_plan(), tmp_path), 1, Options(only="int4"))
    assert "original, middle, fast" in raised.value.hint


def test_without_a_promise_the_chosen_one_answers_alone(tmp_path: Path) -> None:
    with opened(a_plan(Requirements(quality_drop=0.02)), tmp_path, Options()) as model:
        assert len(model.residents) == 1
        assert isinstance(model.policy, Single)


def test_what_does_not_fit_into_memory_beside_the_chosen_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "memory_mb", lambda: 500)
    with caplog.at_level(logging.WARNING), opened(a_plan(memory_mb=350), tmp_path, Options()) as model:
        assert variants(model) == ["middle", "fast"]
    assert "original stays out of memory" in caplog.text


def test_the_shadow_compares_with_the_rung_that_is_the_original(tmp_path: Path) -> None:
    with opened(a_plan(), tmp_path, Options(shadow=0.5)) as model:
        assert variants(model) == LADDER
    with opened(a_plan(), tmp_path, Options(shadow=0.5, switch=False)) as model:
        assert variants(model) == ["fast", "original"]
