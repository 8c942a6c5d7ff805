"""Metrics of numbers, of one class and of one's own from the command line, and the explanation of what came out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from command import Run, run_here, run_in
from steelyard.testing import tiny_model

OWN = """
import numpy as np

LIMIT = {limit}


def close(answers, targets):
    return np.mean(np.abs(answers - targets).max(axis=1) < LIMIT)


def raises(answers, targets):
    return 1 / 0
"""
SHORT = ("--within", "3s", "--format", "json")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, and items with measured values and with classes."""
    folder = tmp_path_factory.mktemp("judging")
    tiny_model.write(folder / "model", "onnx")
    items = tiny_model.items(1200)
    clean = tiny_model.answers(items)
    noisy = clean + 0.3 * np.random.default_rng(1).normal(size=clean.shape)
    np.savez(folder / "values.npz", x=items["x"], y=noisy)
    np.savez(folder / "classes.npz", x=items["x"], y=noisy.argmax(axis=1))
    return folder


@pytest.fixture
def weigh(place: Path) -> Run:
    model = "model/tiny.onnx"
    return lambda *arguments, **environment: run_in(place, "weigh", model, *arguments, **environment)


def test_an_error_is_weighed_and_explained(place: Path, weigh: Run) -> None:
    """Measured values are judged by MSE unless something else is said."""
    ran = weigh("--data", "values.npz", "--quality", "<=0.2", "--out", "plan", *SHORT)
    assert ran.status == 0, ran.err
    quality = ran.json["reference"]["quality"]
    assert (quality["metric"], quality["lower_is_better"]) == ("mse", True)
    assert 0.07 < quality["value"] < quality["value_bound"] < 0.2
    told = run_in(place, "explain", "plan", COLUMNS="80")
    assert told.status == 0
    assert '--quality "<=0.2": pass. mse 0.0' in told.out
    assert max(map(len, told.out.splitlines())) <= 80
    assert (
        run_here(place, "explain", "plan", "reference", "--format", "json").json["requirements"][0]["verdict"] == "pass"
    )
    wrong = run_here(place, "explain", "plan", "int9-dynamic.onnxruntime")
    assert wrong.status == 2
    assert "did you mean int8-dynamic.onnxruntime" in wrong.err
    turned = run_here(place, "decide", "plan", "--quality", ">=0.2")
    assert turned.status == 2
    assert '"<=0.2"' in turned.err


def test_a_metric_of_ones_own_is_measured_anew_after_an_edit(place: Path, weigh: Run) -> None:
    (place / "mine.py").write_text(OWN.format(limit=0.9))
    first = weigh("--data", "values.npz", "--metric", "mine:close", "--quality-drop", "5%", *SHORT)
    assert first.status == 0, first.err
    (place / "mine.py").write_text(OWN.format(limit=0.3))
    second = weigh("--data", "values.npz", "--metric", "mine:close", "--quality-drop", "5%", *SHORT)
    assert second.json["subject"]["key"] != first.json["subject"]["key"]
    before, after = (ran.json["reference"]["quality"]["value"] for ran in (first, second))
    assert after < before / 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--data", "values.npz", "--metric", "mse", "--quality", ">=0.2"), '"<=0.2"'),
        (("--data", "classes.npz", "--quality", "<=0.2"), '">=0.2"'),
        (("--data", "classes.npz", "--metric", "mine:raises"), "ZeroDivisionError"),
        (("--data", "classes.npz", "--metric", "mine:missing"), "nothing named 'missing'"),
        (("--data", "classes.npz", "--metric", "nowhere:score"), "no module 'nowhere'"),
        (("--data", "classes.npz", "--metric", "recall:cat"), "classes have no names"),
        (("--data", "classes.npz", "--metric", "recall:99"), "labelled with that class"),
        (("--data", "values.npz", "--metric", "accuracy"), "mse"),
    ],
)
def test_a_metric_that_does_not_fit_ends_with_a_hint(place: Path, arguments: tuple[str, ...], says: str) -> None:
    (place / "mine.py").write_text(OWN.format(limit=0.9))
    ran = run_here(place, "weigh", "model/tiny.onnx", *arguments, "--within", "4s")
    assert ran.status == 2
    assert says in ran.err
