"""A training run in MLflow: the recipe, every epoch as it ends, at the end figures and files; or why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steelyard.errors import Interrupted
from steelyard.loop.mlflow_training import TrainingLog, training_log
from steelyard.records.training import Epoch
from steelyard.train.fitting import fit
from training_here import recipe, table

mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")


@pytest.fixture
def place(tmp_path: Path) -> str:
    return (tmp_path / "runs").as_uri()


def only_run(place: str) -> Any:
    client = mlflow.MlflowClient(tracking_uri=place)
    (run,) = client.search_runs([client.get_experiment_by_name("steelyard").experiment_id])
    return run


def test_a_run_is_there_while_it_goes_on_and_whole_at_its_end(
    place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Looks(TrainingLog):
        seen: list[tuple[str, float]] = []

        def epoch(self, epoch: Epoch, is_best: bool) -> bool:
            goes_on = super().epoch(epoch, is_best)
            run = only_run(place)
            self.seen.append((run.info.status, run.data.metrics["loss"]))
            return goes_on

    made, log = recipe(epochs=3), Looks(recipe(epochs=3), place)
    trained = fit(made, table(), watch=log)
    assert log.seen == [("RUNNING", epoch.loss) for epoch in trained.run.epochs]
    (tmp_path / "out").mkdir()
    for name in ("model.onnx", "checkpoint.safetensors"):
        (tmp_path / "out" / name).write_bytes(b"bytes")
    evaluation = trained.evaluate()
    told = log.end(trained.run, evaluation, tmp_path / "out")
    assert capfd.readouterr().out == ""
    run = only_run(place)
    assert run.info.run_id in told
    assert run.info.status == "FINISHED"
    assert run.data.params["training.epochs"] == "3"
    assert run.data.params["optimiser.options.rate"] == "0.02"
    assert evaluation.accuracy is not None
    assert run.data.metrics["test/accuracy"] == evaluation.accuracy.value
    assert run.data.metrics["test/accuracy_low"] == evaluation.accuracy.low
    client = mlflow.MlflowClient(tracking_uri=place)
    assert [each.step for each in client.get_metric_history(run.info.run_id, "validation")] == [1, 2, 3]
    assert [each.path for each in client.list_artifacts(run.info.run_id)] == ["model.onnx"]


def test_a_run_that_was_stopped_is_marked_and_the_next_one_has_all_epochs(place: str, tmp_path: Path) -> None:
    made, epochs = recipe(epochs=2), fit(recipe(epochs=2), table()).run.epochs

    def stopped() -> None:
        with training_log(made, place) as log:
            assert log is not None
            log.epoch(epochs[0], True)
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        stopped()
    assert only_run(place).info.status == "KILLED"
    trained, again = fit(made, table()), f"{place}-again"
    with training_log(made, again) as log:
        assert log is not None
        log.epoch(epochs[1], True)
        log.end(trained.run, trained.evaluate(), tmp_path)
    run = only_run(again)
    history = mlflow.MlflowClient(tracking_uri=again).get_metric_history(run.info.run_id, "loss")
    assert sorted(each.step for each in history) == [1, 2]


def test_a_server_that_is_not_there_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with training_log(recipe(), "http://me:sesame@127.0.0.1:9") as log:
        trained = fit(recipe(), table(), watch=log)
        assert log is not None
        told = log.end(trained.run, trained.evaluate(), tmp_path)
    assert "not logged to MLflow at http://me:***@127.0.0.1:9" in told
    assert f"all is in {tmp_path}" in told
    assert "sesame" not in told


def test_nothing_is_logged_that_nobody_asked_for() -> None:
    with training_log(recipe(), None) as log:
        assert log is None
