"""Exported networks: raw items go in, and the answers are the network's own."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest

from made_examples import columns
from steelyard.datasets.examples import Examples
from steelyard.errors import ModelError, UsageError
from steelyard.records.recipe import Chosen
from steelyard.train import export as exporting
from steelyard.train.fitting import fit
from steelyard.train.trained import Trained
from training_here import pictures, recipe, table


def answers(model: Path, feed: dict[str, np.ndarray]) -> np.ndarray:
    found: np.ndarray = onnxruntime.InferenceSession(model).run(None, feed)[0]
    return found


def trained_on(data: Examples, *steps: str, network: str = "mlp") -> Trained:
    chosen = tuple(Chosen(name=name) for name in steps)
    return fit(msgspec.structs.replace(recipe(network, epochs=1), prepare=chosen), data)


def test_a_table_with_gaps_and_categories_goes_in_raw(tmp_path: Path) -> None:
    data = table()
    data.inputs["a"][::7] = np.nan
    kind = np.random.default_rng(0).integers(3, 6, len(data))
    whole = data.with_inputs({"kind": kind, **data.inputs, "other": kind[::-1].copy()})
    steps = (
        Chosen(name="missing"), Chosen(name="outliers"), Chosen(name="one-hot", options={"columns": ["kind"]}),
        Chosen(name="ordinal", options={"columns": ["other"]}),
        Chosen(name="standard", options={"columns": ["a", "b"]}),
    )  # fmt: skip
    trained = fit(msgspec.structs.replace(recipe(epochs=1), prepare=steps), whole)
    model = trained.export(tmp_path / "m")
    raw = np.stack([whole.inputs[name].astype("f4") for name in ("kind", "a", "b", "other")], axis=1)
    assert np.allclose(answers(model, {"table": raw}), trained.outputs(whole), atol=1e-4)


def people(items: int = 200) -> Examples:
    """Words with gaps, called as the exported graph's own tensors are; the town and the job tell the class."""
    rng = np.random.default_rng(0)
    town = [(None, "oslo", "são paulo, br")[n] for n in rng.integers(0, 3, items)]
    job = ["xy"[n] for n in rng.integers(0, 2, items)]
    age = np.where(rng.random(items) < 0.1, np.nan, rng.normal(40, 9, items))
    wanted = [int((t is None) != (j == "x")) for t, j in zip(town, job, strict=True)]
    found = columns(wanted, town=town, age=age, table=job, output=job)
    return found.with_inputs({**found.inputs, "in, come": np.arange(items)})


def test_words_go_in_as_words(tmp_path: Path) -> None:
    data = people()
    spread = Chosen(name="one-hot", options={"columns": ["town"]})
    steps = (Chosen(name="missing"), spread, Chosen(name="standard"), Chosen(name="ordinal"))
    trained = fit(msgspec.structs.replace(recipe(epochs=1), prepare=steps), data)
    model = trained.export(tmp_path / "m")
    new = data.take(np.arange(50))
    new.inputs["town"][3:6] = "never seen"
    feed: dict[str, np.ndarray] = {
        "table": np.stack([new.inputs["age"], new.inputs["in, come"].astype("f4")], axis=1),
        "town": np.array([town or "" for town in new.inputs["town"]], object)[:, None],
        "table_": new.inputs["table"][:, None],
        "output_": new.inputs["output"][:, None],
    }
    assert np.allclose(answers(model, feed), trained.outputs(new), atol=1e-4)
    settings = tomllib.loads((tmp_path / "m/steelyard.toml").read_text())["data"]
    assert settings["inputs"] == {"table": "age,in  come", "town": "town", "table_": "table", "output_": "output"}
    with (tmp_path / "m/test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["town"] for row in rows] == [town or "" for town in trained.part("test").inputs["town"]]
    assert [int(row[settings["labels"]]) for row in rows] == trained.part("test").targets.tolist()
    assert {row["age"] for row in rows if not row["age"]} == {""}


@pytest.mark.parametrize("steps", [(), ("standard",), ("min-max",)])
def test_pictures_go_in_as_bytes(tmp_path: Path, steps: tuple[str, ...]) -> None:
    data = pictures()
    trained = trained_on(data, *steps, network="digits-conv2")
    model = trained.export(tmp_path / "m")
    assert np.allclose(
        answers(model, {"image": data.inputs["image"][:9]}), trained.outputs(data.take(np.arange(9))), atol=1e-4
    )


def test_sequences_of_different_length_go_in_with_their_lengths(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    length = rng.integers(3, 9, 80)
    sequence = rng.normal(2, 3, (80, 8, 2)).astype("f4") * (np.arange(8) < length[:, None])[..., None]
    inputs = {"sequence": sequence.astype("f4"), "length": length.astype(np.int64)}
    data = Examples("sequences", inputs, (sequence.sum((1, 2)) > 20).astype(np.int64), ("low", "high"))
    trained = trained_on(data, "standard", network="gru")
    model = trained.export(tmp_path / "m")
    feed = {name: values[:5] for name, values in inputs.items()}
    assert np.allclose(answers(model, feed), trained.outputs(data.take(np.arange(5))), atol=1e-4)


def test_texts_go_in_as_tokens_with_their_tokenizer_beside(tmp_path: Path) -> None:
    words = np.array([f"{'yes' if row % 2 else 'no'} it is number {row}" for row in range(80)], object)
    data = Examples("text", {"text": words}, np.arange(80) % 2, ("no", "yes"))
    trained = trained_on(data, network="transformer")
    trained.export(tmp_path / "m")
    assert json.loads((tmp_path / "m/tokenizer.json").read_text())["version"]
    assert (tmp_path / "m/test.csv").read_text().startswith("text,label\n")
    assert "tokenizer = " in (tmp_path / "m/steelyard.toml").read_text()


def test_what_lies_in_the_folder_can_be_weighed(tmp_path: Path) -> None:
    trained = trained_on(pictures(), network="digits-conv2")
    trained.export(tmp_path / "m")
    arrays = np.load(tmp_path / "m/test.npz")
    assert set(arrays) == {"image", "labels"}
    assert len(arrays["labels"]) == 24
    assert json.loads((tmp_path / "m/run.json").read_text())["network"] == "digits-conv2"


def test_a_file_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    trained = trained_on(table())
    model = trained.export(tmp_path / "m")
    other = fit(recipe(epochs=1, seed=5), table())
    with pytest.raises(ModelError, match="answers differ"):
        exporting.verify(model, other, other.part("test"))


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match=r"holds other things \(thesis\.tex\)"):
        trained_on(table()).export(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.tex"]
