"""Triton's load generator against a server: it runs to its end, finds a throughput, and no request fails."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.conftest import run_quietly
from serving_server import Running, serving

TOKEN = "t" * 20
WINDOW_MS = 200
FOUR = ("--concurrency-range", "1:4")
RATES = ("--request-rate-range", "100:200:100", "--request-distribution", "poisson")
BATCHES = ("--concurrency-range", "2", "-b", "4", "-a")
IN_JSON = ("--input-tensor-format", "json", "--output-tensor-format", "json")


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Running]:
    with serving(bundle, "plan", STEELYARD_TOKEN=TOKEN) as running:
        yield running


@pytest.mark.parametrize(
    ("protocol", "how", "levels"),
    [
        ("http", FOUR, 4),
        ("http", RATES, 2),
        ("http", BATCHES + IN_JSON, 1),
        ("grpc", FOUR, 4),
        ("grpc", RATES, 2),
        ("grpc", (*BATCHES, "--grpc-compression-algorithm", "gzip"), 1),
        ("grpc", ("--concurrency-range", "2", "--streaming"), 1),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_it_finds_a_throughput(
    protocol: str, how: tuple[str, ...], levels: int, clients: Path, server: Running, tmp_path: Path
) -> None:
    [cuda] = clients.glob("lib/python*/site-packages/nvidia/cuda_runtime/lib")
    port = server.port if protocol == "http" else server.grpc_port
    where = ("-m", "two", "-i", protocol, "-u", f"127.0.0.1:{port}", "-H", f"authorization: Bearer {TOKEN}")
    # Windows are compared until three agree; how far apart they may be is not what is tested.
    windows = ("-p", str(WINDOW_MS), "-s", "900", "-f", str(tmp_path / "found.csv"))
    analyzer = str(clients / "bin" / "perf_analyzer")
    done = run_quietly([analyzer, *where, *how, *windows], LD_LIBRARY_PATH=str(cuda))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    with (tmp_path / "found.csv").open() as file:
        found = [float(row["Inferences/Second"]) for row in csv.DictReader(file)]
    assert len(found) == levels
    assert min(found) > 0
    stats = told(server)
    assert stats["inference_stats"]["fail"]["count"] == 0
    assert stats["inference_stats"]["success"]["count"] > 0


def told(server: Running) -> dict[str, dict[str, dict[str, int]]]:
    status, body = server.ask("GET", "/v2/models/two/stats", headers={"Authorization": f"Bearer {TOKEN}"})
    assert status == 200
    [stats] = body["model_stats"]
    return dict(stats)
