"""Everything a user can get wrong through the command line: exit status 2, and a message that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from command import Run, run_here


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--p95", "5"], "needs a number with a unit"),
        (["--p95", "5parsecs"], "unknown unit"),
        (["--p0", "5ms"], "between 0 and 100"),
        (["--p95", "-5ms"], "needs a number with a unit"),
        (["--quality", "good"], "needs a bound"),
        (["--quality-drop", "200%"], "between 0 and 1"),
        (["--rate", "500"], "requests per unit of time"),
        (["--rate", "0/s"], "above 0"),
        (["--memory", "512"], "needs a number with a unit"),
        (["--budget", "200"], "money per month"),
        (["--priority", "fame"], "cost, speed, quality, knee"),
        (["--scenario", "magic"], "server, single, offline"),
        (["--confidence", "40%"], "between 50% and 100%"),
        (["--confidence", "95"], "did you mean --confidence 95%"),
        (["--scenario", "offline", "--p95", "5ms"], "contradict"),
        (["--scenario", "single", "--rate", "5/s"], "contradict"),
        (["--scenario", "server"], "needs a latency bound"),
        (["--price", "cheap"], "a price"),
        (["--machine", "m7a.lrage"], "m7a.large"),
        (["--within", "soon"], "needs a number with a unit"),
        (["--metric", "beauty"], "accuracy"),
        (["--preprocess", "size=3"], "known keys"),
        (["--config", "nowhere.toml"], "no file"),
    ],
)
def test_a_wrong_setting(tmp_path: Path, few_digits: Path, model: str, arguments: list[str], words: str) -> None:
    ran = run_here(tmp_path, "weigh", model, "--data", str(few_digits), *arguments)
    assert ran.status == 2
    assert words in ran.err
    assert ran.out == ""


@pytest.mark.parametrize("arguments", [["--unknown"], ["weigh", "--nope"], ["fly"]])
def test_an_unknown_option_or_command(tmp_path: Path, arguments: list[str]) -> None:
    assert run_here(tmp_path, *arguments).status == 2


def test_a_missing_model_and_missing_data(tmp_path: Path, model: str) -> None:
    assert "missing: the model file" in run_here(tmp_path, "weigh").err
    assert "missing: the validation data" in run_here(tmp_path, "weigh", model).err
    ran = run_here(tmp_path, "weigh", "nowhere.onnx", "--data", "nowhere.npz")
    assert ran.status == 2
    assert "nowhere.onnx" in ran.err


def test_errors_are_json_for_scripts(steelyard: Run, model: str) -> None:
    ran = steelyard("weigh", model, "--data", "nowhere.npz", "--format", "json")
    told = json.loads(ran.err.strip().splitlines()[-1])
    assert ran.status == 2
    assert told["error"] == "DataError"
    assert "nowhere.npz" in told["message"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.onnx", b"", "empty"),
        ("random.onnx", bytes(range(256)) * 8, "not"),
        ("net.pt", b"PK\x03\x04anything", "torch.onnx.export"),
        ("net.pkl", b"\x80\x04\x95.", "pickle"),
        ("net.keras", b"PK\x03\x04anything", "model.export"),
    ],
)
def test_a_file_that_is_no_model(tmp_path: Path, few_digits: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    ran = run_here(tmp_path, "weigh", name, "--data", str(few_digits))
    assert ran.status == 2
    assert words in ran.err


def test_labels_that_count_from_one(tmp_path: Path, few_digits: Path, model: str) -> None:
    with np.load(few_digits, allow_pickle=False) as arrays:
        np.savez(tmp_path / "moved.npz", x=arrays["x"], y=arrays["y"] + 1)
    ran = run_here(tmp_path, "weigh", model, "--data", "moved.npz")
    assert ran.status == 2
    assert "--label-offset -1" in ran.err


def test_labels_moved_within_the_range_are_noticed_by_the_reference(
    tmp_path: Path, few_digits: Path, model: str
) -> None:
    with np.load(few_digits, allow_pickle=False) as arrays:
        keep = arrays["y"] < 9
        np.savez(tmp_path / "moved.npz", x=arrays["x"][keep], y=arrays["y"][keep] + 1)
    ran = run_here(tmp_path, "weigh", model, "--data", "moved.npz")
    assert ran.status == 2
    assert "--label-offset -1" in ran.err


def test_wrong_shapes_and_dtypes(tmp_path: Path, few_digits: Path, model: str) -> None:
    with np.load(few_digits, allow_pickle=False) as arrays:
        np.savez(tmp_path / "flat.npz", x=arrays["x"].reshape(-1, 784), y=arrays["y"])
        np.savez(tmp_path / "bytes.npz", x=(arrays["x"] * 255).astype(np.uint8), y=arrays["y"])
        np.savez(tmp_path / "words.npz", x=arrays["x"], y=np.array(["digit"] * len(arrays["y"])))
    assert "784" in run_here(tmp_path, "weigh", model, "--data", "flat.npz").err
    assert "scale" in run_here(tmp_path, "weigh", model, "--data", "bytes.npz").err
    assert "classes" in run_here(tmp_path, "weigh", model, "--data", "words.npz").err


def test_a_place_that_holds_something_else_is_not_overwritten(
    steelyard: Run, tmp_path: Path, few_digits: Path, model: str
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    ran = steelyard("weigh", model, "--data", str(few_digits), "--out", "precious")
    assert ran.status == 2
    assert "will not be overwritten" in ran.err
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"


def test_a_work_folder_that_cannot_be_written(steelyard: Run, few_digits: Path, model: str) -> None:
    ran = steelyard("weigh", model, "--data", str(few_digits), "--work", "/proc/nowhere")
    assert ran.status == 2
    assert "--work" in ran.err


def test_unknown_settings_in_the_file_name_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "steelyard.toml").write_text('[requirements]\nqualty = ">=0.9"\n')
    ran = run_here(tmp_path, "config", "--show")
    assert ran.status == 2
    assert "did you mean quality?" in ran.err


def test_settings_tell_their_origin(steelyard: Run, tmp_path: Path) -> None:
    (tmp_path / "steelyard.toml").write_text('[requirements]\np95 = "7ms"\nrate = "10/s"\n')
    shown = steelyard("config", "--show", "--format", "json", STEELYARD_RATE="20/s").json
    assert shown["latency"] == {"value": "p95=7ms", "origin": "steelyard.toml, [requirements] p95"}
    assert shown["rate"] == {"value": "20/s", "origin": "environment, STEELYARD_RATE"}
    assert shown["confidence"]["origin"] == "default"
    for_people = steelyard("config", "--show", COLUMNS="200").out
    assert "p95=7ms" in for_people
    assert "steelyard.toml, [requirements] p95" in for_people


def test_decide_without_a_ledger_says_what_to_do(tmp_path: Path) -> None:
    ran = run_here(tmp_path, "decide", "--p95", "5ms")
    assert ran.status == 2
    assert "weigh something first" in ran.err


@pytest.mark.parametrize(
    ("arrivals", "told"),
    [
        ("trace:missing.csv", "there is no trace at missing.csv"),
        ("trace:", "needs a file"),
        ("trace:bad.csv", "line 3 of the trace bad.csv holds nan"),
        ("weekly", "poisson, gamma:VARIATION or trace:FILE"),
    ],
)
def test_arrivals_that_cannot_be_used_are_told_before_anything_else(tmp_path: Path, arrivals: str, told: str) -> None:
    (tmp_path / "bad.csv").write_text("time\n1\nnan\n3\n")
    ran = run_here(tmp_path, "weigh", "net.onnx", "--data", "val.npz", "--p95", "5ms", "--arrivals", arrivals)
    assert ran.status == 2
    assert told in ran.err


def test_arrivals_without_a_latency_bound_say_what_is_missing(tmp_path: Path) -> None:
    ran = run_here(tmp_path, "weigh", "net.onnx", "--data", "val.npz", "--arrivals", "gamma:2")
    assert ran.status == 2
    assert "belong to the server scenario" in ran.err
    assert "--p95" in ran.err


def test_check_of_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "not a bundle" in run_here(tmp_path, "check", "empty").err
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "plan.json").write_text('{"schema": "something/9"}')
    ran = run_here(tmp_path, "check", "odd")
    assert ran.status == 2
    assert "something/9" in ran.err
