"""Cheaper forms of a network: they learn, go on where they were, run in 8 bits for real, and are found by weighing."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from steelyard.datasets.examples import Examples
from steelyard.errors import Interrupted, UsageError
from steelyard.models.inspect import inspect
from steelyard.records.cheaper import Cheaper, Distil, Prune, Quantise
from steelyard.records.recipe import Chosen, Privacy
from steelyard.subjects.origins import check_interface
from steelyard.train import cheaper
from steelyard.train.export import answers
from steelyard.train.fitting import fit
from steelyard.train.progress import Nobody
from steelyard.train.trained import Trained
from training_here import pictures, recipe, table

EVERY = Cheaper(
    distil=Distil(network=Chosen(name="digits-tiny")), prune=Prune(keep=0.5, epochs=2), quantise=Quantise(epochs=2)
)


@pytest.fixture(scope="module")
def seen() -> Trained:
    """Pictures of 28 pixels a side."""
    small = pictures(240)
    image = np.pad(small.inputs["image"], ((0, 0), (4, 4), (4, 4), (0, 0)))
    return fit(recipe("digits-fast", epochs=4), Examples("images", {"image": image}, small.targets, small.classes))


@pytest.mark.parametrize("way", ["distil", "prune", "quantise"])
def test_each_way_gives_a_network_that_is_right_and_a_file_that_weighing_takes(
    seen: Trained, way: str, tmp_path: Path
) -> None:
    made = cheaper.make(seen, way, EVERY)
    accuracy = made.evaluate().accuracy
    assert accuracy is not None
    assert accuracy.value > 0.9
    file = cheaper.export(made, way, tmp_path)
    own = seen.export(tmp_path)
    check_interface(way, inspect({"path": str(file)}), inspect({"path": str(own)}))
    assert file.stat().st_size < 0.7 * own.stat().st_size
    test = made.part("test")
    assert (answers(file, made, test).argmax(1) == made.predict(test)).mean() > 0.97
    if way != "quantise":
        assert made.run.parameters < 0.5 * seen.run.parameters


def operators(file: Path, folder: Path) -> set[str]:
    """What ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(folder / "optimised.onnx"), 3
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node}


def test_convolutions_and_products_run_on_whole_numbers(seen: Trained, tmp_path: Path) -> None:
    made = cheaper.make(seen, "quantise", EVERY)
    kinds = operators(cheaper.export(made, "quantise", tmp_path), tmp_path)
    assert {"QLinearConv", "QGemm"} <= kinds
    assert not {"Conv", "FusedConv", "Gemm", "FusedGemm"} & kinds


def test_learnt_ranges_are_those_of_the_file(seen: Trained, tmp_path: Path) -> None:
    made = cheaper.make(seen, "quantise", EVERY)
    model = onnx.load(cheaper.export(made, "quantise", tmp_path))
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    scales = [float(stored[n.input[1]]) for n in model.graph.node if n.op_type == "QuantizeLinear"]
    first = made.network.features[0]
    assert min(abs(scale - float(first.high - first.low) / 255) for scale in scales) < 1e-6


def test_a_table_is_quantised_behind_its_preparation(tmp_path: Path) -> None:
    data = table(600)
    apart = Examples("table", data.inputs | {"wide": 1e6 * data.inputs["a"]}, data.targets, data.classes)
    trained = fit(recipe(epochs=6), apart)
    made = cheaper.make(trained, "quantise", EVERY)
    file = cheaper.export(made, "quantise", tmp_path)
    test = made.part("test")
    assert (answers(file, made, test).argmax(1) == made.predict(test)).mean() > 0.97
    assert "QGemm" in operators(file, tmp_path)


class StopsAfter(Nobody):
    """Sets an event after so many steps."""

    def __init__(self, stop: threading.Event, steps: int) -> None:
        self._stop = stop
        self._left = steps

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:
        self._left -= 1
        if not self._left:
            self._stop.set()


@pytest.mark.parametrize("way", ["distil", "prune", "quantise"])
def test_each_goes_on_where_it_was_interrupted(way: str, tmp_path: Path) -> None:
    trained, wanted = fit(recipe(epochs=3), table()), Cheaper().also([way])
    whole, stop = cheaper.make(trained, way, wanted), threading.Event()
    with pytest.raises(Interrupted, match="stopped"):
        cheaper.make(trained, way, wanted, folder=tmp_path, watch=StopsAfter(stop, 3), stop=stop)
    assert [file.suffix for file in tmp_path.iterdir()] == [".safetensors"]
    resumed = cheaper.make(trained, way, wanted, folder=tmp_path)
    pairs = zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_measured_values_are_distilled_too(tmp_path: Path) -> None:
    data = table(400)
    sums = Examples("table", data.inputs, (data.inputs["a"] + data.inputs["b"]).astype(np.float32), ())
    trained = fit(recipe(epochs=8), sums)
    made = cheaper.make(trained, "distil", Cheaper().also(["distil"]))
    error = made.evaluate().mse
    assert error is not None
    assert error.value < float(np.var(sums.targets)) / 4


def test_rates_and_epochs_are_shares_of_the_recipes() -> None:
    made = cheaper.recipe_of(recipe(epochs=10), "prune", Cheaper(prune=Prune()))
    assert (made.training.epochs, made.optimiser.options["rate"]) == (5, pytest.approx(0.006))
    muon = msgspec.structs.replace(recipe(average=0.9), optimiser=Chosen(name="muon"))
    rates = cheaper.recipe_of(muon, "quantise", Cheaper(quantise=Quantise(rate=0.5)))
    assert rates.optimiser.options == {"rate": 0.01, "rate_of_others": 0.0015}
    assert rates.training.average is None


def test_privacy_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    private = msgspec.structs.replace(recipe(), privacy=Privacy())
    with pytest.raises(UsageError, match=r"\[privacy\] and \[cheaper\] do not go together"):
        cheaper.recipe_of(private, "prune", Cheaper(prune=Prune()))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="trained by one process"):
        cheaper.recipe_of(recipe(), "prune", Cheaper(prune=Prune()))
