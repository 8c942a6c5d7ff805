"""A metric of the user's own: found, judged, bounded in time, and clear about what is wrong with it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from steelyard.errors import CandidateFailure, UsageError
from steelyard.metrics import metric, resampling, targets_of
from steelyard.metrics.judging import judge
from steelyard.metrics.own import OwnMetric
from steelyard.records.engine import Array
from steelyard.verdicts import judge_quality

SOURCE = """
import math
import numpy as np

LIMIT = 0.5

def close(answers, targets):
    return np.mean(np.abs(answers - targets) < LIMIT)

def error(answers, targets):
    return float(np.median(np.abs(answers - targets)))

error.greater_is_better = False

def spoils(answers, targets):
    answers[:] = targets
    return 1

def raises(answers, targets):
    return 1 / (len(answers) - len(answers))

def nan_of_candidate(answers, targets):
    return math.nan if answers[0] > 100 else 1.0

def of_both(answers, targets):
    if len(np.unique(targets > 0)) < 2:
        raise ValueError("only one class")
    return 1.0

def many(answers, targets):
    return answers

not_a_function = 3
"""
RNG = np.random.default_rng(0)
TARGETS = RNG.normal(size=200)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module of a name of its own in the working directory."""
    name = f"tools_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_it_is_found_by_its_path_and_says_which_way_is_better(tools: str) -> None:
    close, error = metric(f"{tools}:close"), metric(f"{tools}:error")
    assert close.name == f"{tools}:close"
    assert close.targets == targets_of(close.name) == "any"
    assert (close.lower_is_better, error.lower_is_better) == (False, True)
    assert close.value(TARGETS + 0.1, TARGETS) == 1.0


def test_answers_are_the_first_output_and_targets_the_references_answers_without_labels(tools: str) -> None:
    close = metric(f"{tools}:close")
    assert close.answers([np.ones((3, 1)), np.zeros(3)]).tolist() == [1, 1, 1]
    quality = judge(close, TARGETS + 0.1, TARGETS, None, 0)
    assert (quality.value, quality.reference) == (1.0, 1.0)


def test_it_cannot_spoil_the_answers(tools: str) -> None:
    answers = TARGETS + 1
    metric(f"{tools}:spoils").value(answers, TARGETS)
    assert answers == pytest.approx(TARGETS + 1)


def test_an_edit_makes_it_another_metric(tools: str, tmp_path: Path) -> None:
    before = OwnMetric(f"{tools}:close").source_hash
    file = tmp_path / f"{tools}.py"
    file.write_text(file.read_text().replace("LIMIT = 0.5", "LIMIT = 0.4"))
    assert OwnMetric(f"{tools}:close").source_hash != before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere_at_all:score", "no module 'nowhere_at_all'"),
        ("TOOLS:missing", "has nothing named 'missing'"),
        ("TOOLS:not_a_function", "has a int named"),
        ("not a path:f", "names no metric"),
    ],
)
def test_what_cannot_be_found_is_a_users_mistake(tools: str, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        _ = metric(name.replace("TOOLS", tools)).lower_is_better


def test_a_module_that_fails_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_tools.py").write_text("import math\nLIMIT = math.nothing\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"AttributeError(.|\n)*broken_tools.py, line 2"):
        _ = metric("broken_tools:score").lower_is_better


def test_failing_on_the_references_answers_is_a_users_mistake(tools: str) -> None:
    with pytest.raises(UsageError, match=r"raised ZeroDivisionError(.|\n)*line \d+: return 1 /"):
        judge(metric(f"{tools}:raises"), TARGETS, TARGETS, TARGETS, 0, own=True)
    with pytest.raises(UsageError, match=r"returned an array of shape \[200\], expected a number"):
        judge(metric(f"{tools}:many"), TARGETS, TARGETS, TARGETS, 0, own=True)


def test_failing_on_a_candidates_answers_is_the_candidates_failure(tools: str) -> None:
    with pytest.raises(CandidateFailure, match="returned nan") as caught:
        judge(metric(f"{tools}:nan_of_candidate"), TARGETS + 200, TARGETS, TARGETS, 0)
    assert caught.value.kind == "invalid"


def test_a_draw_that_lacks_a_class_is_left_out_and_many_of_them_are_told(tools: str) -> None:
    both = metric(f"{tools}:of_both")
    rare = np.where(np.arange(200) < 4, 1.0, -1.0)
    assert judge(both, TARGETS, TARGETS, rare, 0, replicates=300).value == 1.0
    once = np.where(np.arange(200) < 1, 1.0, -1.0)
    with pytest.raises(CandidateFailure, match=r"only one class(.|\n)*random draws"):
        judge(both, TARGETS, TARGETS, once, 0, replicates=300)


def test_limits_are_honest_about_what_was_not_seen(tools: str) -> None:
    same = judge(metric(f"{tools}:close"), TARGETS, TARGETS, TARGETS, 0, replicates=200)
    judgement = judge_quality(same, None, 0.01, 0.95)
    assert judgement.verdict == "undecided"
    assert judgement.drop_bound == pytest.approx(1 - 0.05 ** (1 / 200), rel=0.05)
    assert judgement.items_needed == pytest.approx(299, rel=0.05)


def test_a_slow_metric_is_asked_fewer_times(tools: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "SECONDS", 0.2)
    asked = 0
    error = metric(f"{tools}:error")
    value = error.value

    def slow(answers: Array, truth: Array) -> float:
        nonlocal asked
        asked += 1
        time.sleep(0.004)
        return value(answers, truth)

    error.value = slow  # type: ignore[method-assign]
    reference = TARGETS + 0.5 * RNG.normal(size=200)
    quality = judge(error, reference + 0.2 * RNG.normal(size=200), reference, TARGETS, 0)
    assert 2 * resampling.FEWEST_DRAWN <= asked <= 2 * resampling.FEW
    assert quality.drops[10] < quality.drop < quality.drops[-10]
