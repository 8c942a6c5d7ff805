"""A plan and its bundle in MLflow's own stores: a database, a folder; and what happens when there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from command import run_in
from several_machines import BIG, DROP, USD, keep, measured
from steelyard.assets import mnist_model
from steelyard.bundle import write_bundle
from steelyard.errors import UsageError
from steelyard.loop import decide_again, mlflow_place, mlflow_run
from steelyard.loop.joined import Pricing
from steelyard.records.plan import Plan

mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    from steelyard.ledger import Ledger

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        keep(ledger, BIG, measured(1), "big.8x", USD)
    return decide_again(tmp_path / "ledger.db", DROP, Pricing(USD, said=True))


@pytest.fixture
def bundle(plan: Plan, tmp_path: Path) -> Path:
    built = tmp_path / "built"
    built.mkdir()
    (built / "model.onnx").write_bytes(mnist_model().read_bytes())
    return write_bundle(plan, "<html>a report</html>", {"bold": built}, tmp_path / "plan").folder


@pytest.fixture(params=["database", "folder"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    named = {"database": f"sqlite:///{tmp_path / 'runs.db'}", "folder": str(tmp_path / "runs")}
    return mlflow_place.place_of(named[str(request.param)])


def test_everything_is_there(uri: str, plan: Plan, bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = mlflow_run.log(plan, bundle, uri)
    assert "logged to MLflow" in told
    assert capfd.readouterr().out == "", "standard output belongs to the plan"
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("steelyard")
    runs = client.search_runs([experiment.experiment_id])
    (top,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert top.info.run_id in told
    assert top.info.status == "FINISHED"
    assert top.data.params["requirements.quality_drop"] == "0.02"
    assert top.data.params["chosen.variant"] == "bold"
    assert top.data.params["price"] == "0.4 USD/h"
    assert plan.cost is not None
    assert plan.gain is not None
    assert plan.gain.speed is not None
    assert top.data.metrics["chosen/cost_per_million"] == pytest.approx(plan.cost.per_million)
    assert top.data.metrics["reference/quality"] == pytest.approx(0.9)
    assert top.data.metrics["gain/speed"] == pytest.approx(plan.gain.speed)
    below = {run.info.run_name: run for run in runs if run.data.tags.get("mlflow.parentRunId") == top.info.run_id}
    assert set(below) == {candidate.id for candidate in plan.candidates}
    assert below[plan.candidates[1].id].data.tags["steelyard.reason"] == plan.candidates[1].reason
    assert below[plan.candidates[1].id].data.metrics["capacity_per_s"] > 0
    files = {item.path for item in client.list_artifacts(top.info.run_id)}
    assert {"plan.json", "report.html", "artefacts"} <= files
    fetched = Path(client.download_artifacts(top.info.run_id, "artefacts/bold/model.onnx"))
    assert fetched.read_bytes() == mnist_model().read_bytes()
    again = mlflow_run.log(plan, bundle, uri)
    assert again != told, "a second run in the same experiment"


def test_a_server_that_is_not_there_is_told_and_nothing_is_lost(
    plan: Plan, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told = mlflow_run.log(plan, bundle, "http://me:sesame@127.0.0.1:9")
    assert "not logged to MLflow at http://me:***@127.0.0.1:9" in told
    assert f"the plan is in {bundle}" in told
    assert "sesame" not in told


def test_a_place_that_cannot_be_written(plan: Plan, bundle: Path) -> None:
    assert "not logged" in mlflow_run.log(plan, bundle, mlflow_place.place_of("/proc/nowhere"))


def test_auto_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert mlflow_place.place_of("auto") == "http://tracking:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_URI") as caught:
        mlflow_place.place_of("auto")
    assert caught.value.hint


def test_without_the_package_it_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['mlflow'] = None\n")
    ran = run_in(tmp_path, "weigh", str(mnist_model()), "--data", "none.npz", "--mlflow", "x", PYTHONPATH=str(tmp_path))
    assert ran.status == 2
    assert "steelyard[mlflow]" in ran.err


def test_importing_it_loads_no_mlflow() -> None:
    code = "import sys, steelyard.cluster.ordered; print('mlflow' in sys.modules, 'ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
