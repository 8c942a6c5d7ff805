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
from steelyard.records.cheaper import NAMES, Cheaper, Distil, Prune, Quantise
from steelyard.records.recipe import Chosen, Privacy
from steelyard.subjects.origins import check_interface
from steelyard.train import cheaper
from steelyard.train.export import answers
from steelyard.train.fitting import fit
from steelyard.train.quantising import In8Bits
from steelyard.train.trained import Trained
from training_here import StopsAfter, pictures, recipe, table

EVERY = Cheaper(
    distil=Distil(network=Chosen(name="digits-tiny")), prune=Prune(keep=0.5, epochs=2), quantise=Quantise(epochs=2)
)


@pytest.fixture(scope="module")
def seen() -> Trained:
    """Pictures of 28 pixels a side."""
    small = pictures(240)
    image = np.pad(small.inputs["image"], ((0, 0), (4, 4), (4, 4), (0, 0)))
    return fit(recipe("digits-fast", epochs=4), Examples("images", {"image": image}, small.targets, small.classes))


@pytest.fixture(scope="module")
def folder(seen: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the network itself."""
    return seen.export(tmp_path_factory.mktemp("seen")).parent


@pytest.fixture(scope="module")
def quantised(seen: Trained, folder: Path) -> Trained:
    """Trained for 8 bits, and exported."""
    made = cheaper.make(seen, "quantise", EVERY)
    cheaper.export(made, "quantise", folder)
    return made


def check(made: Trained, name: str, folder: Path) -> None:
    """It is right, smaller than what it was made of, and its file answers as it does, asked in the same way."""
    accuracy, file, own = made.evaluate().accuracy, folder / f"{name}.onnx", folder / "model.onnx"
    assert accuracy is not None
    assert accuracy.value > 0.9
    check_interface(name, inspect({"path": str(file)}), inspect({"path": str(own)}))
    assert file.stat().st_size < 0.7 * own.stat().st_size
    test = made.part("test")
    assert (answers(file, made, test).argmax(1) == made.predict(test)).mean() > 0.97


@pytest.mark.parametrize("way", ["distil", "prune"])
def test_a_smaller_network_is_as_right_and_its_file_is_asked_alike(seen: Trained, way: str, folder: Path) -> None:
    made = cheaper.make(seen, way, EVERY)
    cheaper.export(made, way, folder)
    check(made, NAMES[way], folder)
    assert made.run.parameters < 0.5 * seen.run.parameters


def test_a_network_trained_for_8_bits_is_as_right_and_its_file_is_asked_alike(quantised: Trained, folder: Path) -> None:
    check(quantised, "quantised", folder)


def operators(file: Path, folder: Path) -> set[str]:
    """What ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(folder / "optimised.onnx"), 3
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node}


def test_convolutions_and_products_run_on_whole_numbers(quantised: Trained, folder: Path, tmp_path: Path) -> None:
    kinds = operators(folder / "quantised.onnx", tmp_path)
    assert {"QLinearConv", "QGemm"} <= kinds
    assert not {"Conv", "FusedConv", "Gemm", "FusedGemm"} & kinds


def test_learnt_ranges_are_those_of_the_file(quantised: Trained, folder: Path) -> None:
    graph = onnx.load(folder / "quantised.onnx").graph
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    scales = [float(stored[node.input[1]]) for node in graph.node if node.op_type == "QuantizeLinear"]
    for layer in quantised.network.modules():
        if isinstance(layer, In8Bits):
            learnt = (max(float(layer.high), 0) - min(float(layer.low), 0)) / 255
            assert min(abs(scale / learnt - 1) for scale in scales) < 1e-5


def test_a_table_is_quantised_behind_its_preparation(tmp_path: Path) -> None:
    data = table(600)
    apart = Examples("table", dict(data.inputs) | {"wide": 1e6 * data.inputs["a"]}, data.targets, data.classes)
    trained = fit(recipe(epochs=6), apart)
    made = cheaper.make(trained, "quantise", EVERY)
    file = cheaper.export(made, "quantise", tmp_path)
    test = made.part("test")
    assert (answers(file, made, test).argmax(1) == made.predict(test)).mean() > 0.97
    assert "QGemm" in operators(file, tmp_path)


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
