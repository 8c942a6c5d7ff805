"""A real Ray cluster of two labelled nodes, one of which is killed under measurement."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command import run_in
from steelyard.assets import mnist_model, mnist_test
from steelyard.bundle import read_bundle
from steelyard.cluster import ray_nodes
from steelyard.errors import UsageError
from steelyard.ledger import Ledger

pytest.importorskip("ray", reason="needs the extra ray")


@pytest.mark.slow
def test_a_node_killed_under_measurement(tmp_path: Path, alone: list[str]) -> None:
    """Ray alone takes ten seconds to start two nodes and to notice that one is gone."""
    with np.load(mnist_test(), allow_pickle=False) as arrays:
        x, y = arrays["x"][:500].astype(np.float32) / 255, arrays["y"][:500].astype(np.int64)
    np.savez(tmp_path / "val.npz", x=x, y=y)
    script = str(Path(__file__).with_name("two_nodes.py"))
    demands = ["--data", "val.npz", "--p95", "20ms", "--quality-drop", "5%", "--within", "6s", "--format", "json"]
    done = subprocess.run(
        [*alone, sys.executable, script, str(tmp_path), str(mnist_model()), *demands],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout[done.stdout.index("{") :])
    assert plan["status"] == "met"
    assert any("went away" in warning for warning in plan["warnings"])
    assert plan["price"]["machine"] == "m7a.large", "the label names its price"
    assert plan["price"]["currency"] == "USD"
    with Ledger.open(tmp_path / ".steelyard" / "ledger.db") as ledger:
        (line,) = ledger.subjects()
        keys = [entry.key for entry in ledger.of_subject(line.key)]
    assert len(keys) == len(set(keys)) == plan["search"]["measured"]
    bundle = read_bundle(tmp_path / "steelyard-plan")
    assert bundle.artefact(plan["chosen"]["variant"]).is_dir()
    again = run_in(tmp_path, "decide", "--format", "json")
    assert again.json["chosen"]["machine"] == "m7a.large"


@pytest.mark.parametrize(
    ("on", "address", "words"),
    [
        ("ray", "127.0.0.1:1", "there is no Ray cluster at ray"),
        ("ray", "nonsense", "expected HOST:PORT"),
        ("ray://127.0.0.1:1", "", "there is no Ray cluster at ray://127.0.0.1:1"),
        ("slurm", "", "--on names a Ray cluster"),
    ],
)
def test_no_cluster_is_told(tmp_path: Path, on: str, address: str, words: str) -> None:
    np.savez(tmp_path / "val.npz", x=np.zeros((4, 1, 28, 28), np.float32), y=np.zeros(4, np.int64))
    where = {"RAY_ADDRESS": address} if address else {}
    ran = run_in(tmp_path, "weigh", str(mnist_model()), "--data", "val.npz", "--on", on, **where)
    assert ran.status == 2
    assert words in ran.err
    assert "ray start" in ran.err or "--on ray" in ran.err
    assert ran.out == ""


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UsageError, match="needs the package ray") as caught,
        ray_nodes.ray_nodes("ray", tmp_path / "ray.log"),
    ):
        pass
    assert "steelyard[ray]" in caught.value.hint
