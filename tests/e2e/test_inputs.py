"""Every kind of input from the command to the plan: several inputs and outputs, tables, text, lengths, the batch."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

import made_networks
from command import Ran, run_in
from steelyard.bundle import read_plan
from steelyard.records.signature import Growing

ITEMS = 300
RNG = np.random.default_rng(0)


def weighed(folder: Path, *words: str) -> Ran:
    """One weighing, cut short: what goes into the model is what is looked at, not which candidate wins."""
    return run_in(folder, "weigh", *words, "--within", "1s", "--scenario", "offline", "--format", "json")


def judged(ran: Ran) -> dict[str, Any]:
    assert ran.status == 0, ran.err
    plan: dict[str, Any] = ran.json
    assert plan["quality"]["reference"] == 1.0, "labels are the model's own answers"
    assert plan["status"] == "met"
    return plan


def test_two_inputs_and_the_output_that_is_named(tmp_path: Path) -> None:
    made_networks.two_inputs(tmp_path / "two.onnx")
    a, b = made_networks.normal(ITEMS, 8), made_networks.normal(ITEMS, 4, seed=1)
    logits = a @ made_networks.normal(8, 6) + b @ made_networks.normal(4, 6, seed=1)
    np.savez(tmp_path / "two.npz", left=a, right=b, target=logits)
    words = ("two.onnx", "--data", "two.npz", "--input", "a=left", "--input", "b=right", "--labels", "target")
    wrong = run_in(tmp_path, "weigh", *words, "--output", "scores", "--metric", "cosine")
    assert wrong.status == 2
    assert "no output 'scores'" in wrong.err
    assert "mean, logits" in wrong.err
    plan = judged(weighed(tmp_path, *words, "--output", "logits", "--metric", "cosine"))
    assert plan["subject"]["settings"]["output"] == "logits"
    assert plan["subject"]["settings"]["data"]["inputs"] == {"a": "left", "b": "right"}


def test_columns_of_a_table_with_words(tmp_path: Path) -> None:
    made_networks.columns(tmp_path / "columns.onnx")
    age, income = RNG.normal(size=ITEMS).round(3) * 10, RNG.normal(size=ITEMS).round(3)
    town = RNG.choice(["oslo", "rome"], ITEMS)
    yes = 0.1 * age - 0.3 * income + np.where(town == "rome", 2, -2) > 0
    with (tmp_path / "people.csv").open("w", newline="") as out:
        rows = zip(age, income, town, np.where(yes, "yes", "no"), strict=True)
        csv.writer(out).writerows([("age", "income", "town", "bought"), *rows])
    words = ("columns.onnx", "--data", "people.csv", "--labels", "bought")
    plan = judged(weighed(tmp_path, *words, "--classes", "no,yes", "--metric", "f1:yes"))
    assert plan["subject"]["settings"]["data"]["classes"] == ["no", "yes"]
    turned = run_in(tmp_path, "weigh", *words, "--input", "age=town")
    assert turned.status == 2
    assert "the column 'town' of people.csv holds text" in turned.err


def test_texts_of_different_length(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made_networks.reader(tmp_path / "reader.onnx")
    words = dict(zip(["[PAD]", *"abcdefg"], range(8), strict=True))
    made = Tokenizer(models.WordLevel(words, unk_token="[PAD]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    table, out = made_networks.normal(8, 5), made_networks.normal(5, 3, seed=1)
    with (tmp_path / "texts.jsonl").open("w") as lines:
        for _ in range(ITEMS):
            ids = RNG.integers(1, 8, RNG.integers(4, 12))
            label = int((table[ids].mean(axis=0) @ out).argmax())
            lines.write(json.dumps({"text": " ".join("_abcdefg"[n] for n in ids), "label": label}) + "\n")
    plan = judged(weighed(tmp_path, "reader.onnx", "--data", "texts.jsonl", "--tokenizer", "tokenizer.json"))
    assert any(told.startswith("items of different length: 4 to 11 steps") for told in plan["subject"]["told"])
    told = read_plan(tmp_path / "steelyard-plan").subject
    assert told.settings["data"]["tokenizer"] == "tokenizer.json"
    assert told.signature is not None
    assert told.signature.pad
    assert told.signature.grows["input_ids"] == Growing(axis=1, fill=0)


def test_series_of_different_length_and_the_check_of_their_bundle(tmp_path: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(made_networks.lstm(tmp_path / "lstm.onnx")))
    x, lengths = made_networks.normal(ITEMS, 20, 2), RNG.integers(1, 21, ITEMS)
    labels = [int(session.run(None, {"x": x[n : n + 1, : lengths[n]]})[0].argmax()) for n in range(ITEMS)]
    np.savez(tmp_path / "series.npz", x=x, x_lengths=lengths, labels=labels)
    judged(weighed(tmp_path, "lstm.onnx", "--data", "series.npz"))
    checked = run_in(tmp_path, "check", "steelyard-plan", "--format", "json")
    [quality] = [finding for finding in checked.json["findings"] if finding["what"] == "quality"]
    assert quality["holds"], quality


def test_a_model_that_depends_on_the_batch_is_weighed_one_at_a_time(tmp_path: Path) -> None:
    made_networks.centred(tmp_path / "centred.onnx")
    np.savez(tmp_path / "x.npz", x=made_networks.normal(ITEMS, 4))
    plan = judged(weighed(tmp_path, "centred.onnx", "--data", "x.npz"))
    assert any("depends on the items beside it" in told for told in plan["subject"]["told"])
    assert all("b1" in figures["id"].split(".")[-1] for figures in plan["candidates"])


def test_a_batch_that_may_not_be_left_is_refused(tmp_path: Path) -> None:
    made_networks.centred(tmp_path / "fixed.onnx", batch=4)
    np.savez(tmp_path / "x.npz", x=made_networks.normal(ITEMS, 4))
    refused = weighed(tmp_path, "fixed.onnx", "--data", "x.npz")
    assert refused.status == 2
    assert "insists on batches of 4, and its answer to an item depends on the others" in refused.err
