"""Weighing on several nodes: real searches by nodes in this process, lost on command."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fake_nodes import FakeNode
from steelyard.assets import mnist_model, mnist_test
from steelyard.bundle import read_bundle
from steelyard.cluster.kinds import sent
from steelyard.cluster.node import WORK, Node
from steelyard.cluster.weigh import weigh_on
from steelyard.errors import InputError, Interrupted, ModelError, UsageError
from steelyard.ledger import Ledger
from steelyard.loop import Balance, decide_again, order
from steelyard.loop.joined import Pricing
from steelyard.loop.weigh import limits_of
from steelyard.loop.workspace import Workspace
from steelyard.machines.here import this_machine
from steelyard.records.base import to_json
from steelyard.records.errand import Measured
from steelyard.records.job import Job
from steelyard.search import Event

OTHER = msgspec.structs.replace(this_machine(), cpu="another kind")
BROKEN = msgspec.structs.replace(this_machine(), cpu="a third kind")


@pytest.fixture(autouse=True)
def nodes_work_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORK, str(tmp_path / "nodes"))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    with np.load(mnist_test(), allow_pickle=False) as arrays:
        x, y = arrays["x"][:500].astype(np.float32) / 255, arrays["y"][:500].astype(np.int64)
    np.savez(tmp_path / "val.npz", x=x, y=y)
    words = {"latency": "p95=20ms", "quality_drop": "5%", "within": "3s", "work": str(tmp_path / "work")}
    places = {"model": str(mnist_model()), "data": str(tmp_path / "val.npz"), "out": str(tmp_path / "plan")}
    return order.job(words | places)


def weighed(
    job: Job,
    nodes: Sequence[FakeNode],
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Balance:
    stop = stop or threading.Event()
    workspace = Workspace(Path(job.work), limits_of(job, this_machine()), stop)
    try:
        return weigh_on(nodes, job, workspace, on_event, stop)
    finally:
        for node in nodes:
            node.halt()


def ledger_of(job: Job) -> Ledger:
    return Ledger.open(Path(job.work) / "ledger.db")


def kept(job: Job) -> list[str]:
    with ledger_of(job) as ledger:
        (line,) = ledger.subjects()
        return [entry.key for entry in ledger.of_subject(line.key)]


def test_two_kinds_of_machines_give_one_plan(job: Job) -> None:
    usd = order.machine_prices({"machines": {"near": "0.1USD/h", "far": "0.4USD/h"}})
    job = msgspec.structs.replace(job, machine_prices=usd)
    nodes = [FakeNode("a", "near"), FakeNode("b", "far", as_machine=OTHER)]
    nodes.append(FakeNode("c", "broken", as_machine=BROKEN, fails="it cannot be run here"))
    balance = weighed(job, nodes)
    plan = balance.plan
    assert plan.status == "met"
    assert {(m.name, m.machine.cpu, m.price.per_hour) for m in plan.machines} == {
        ("near", this_machine().cpu, 0.1),
        ("far", "another kind", 0.4),
    }
    assert any("left out: broken: it cannot be run here" in warning for warning in plan.warnings)
    assert plan.chosen is not None
    assert plan.chosen.machine in ("near", "far")
    assert plan.subject.model == str(mnist_model()), "the paths of this machine, not of a node"
    bundle = read_bundle(balance.bundle)
    assert bundle.artefact("original").is_dir()
    assert bundle.artefact(plan.chosen.variant).is_dir()
    keys = kept(job)
    assert len(keys) == len(set(keys)) == plan.search.measured
    again = decide_again(Path(job.work) / "ledger.db", job.requirements, Pricing())
    assert {m.name for m in again.machines} == {"near", "far"}
    sends = [node.asked.count("take") for node in nodes]
    assert all(sends)


def test_a_lost_node_costs_only_what_it_was_at(job: Job) -> None:
    events: list[Event] = []
    nodes = [FakeNode("stays"), FakeNode("goes", lost_after=4)]
    told: list[str] = []
    for node in nodes:
        node.heard = lambda message: told.append(type(message).__name__)
    plan = weighed(job, nodes, events.append).plan
    assert plan.status == "met"
    assert any("goes went away" in warning for warning in plan.warnings)
    assert any("goes went away" in event.text for event in events)
    keys = kept(job)
    assert len(keys) == len(set(keys)) == plan.search.measured
    assert nodes[0].asked.count("begin") >= 2, "the one that stayed took over, and searched over all"
    assert nodes[1].asked.count("begin") == 1


def test_when_all_are_lost_what_they_measured_is_kept(job: Job) -> None:
    with pytest.raises(InputError, match="no node is left") as caught:
        weighed(job, [FakeNode("one", lost_after=2), FakeNode("two", lost_after=2)])
    assert "is kept" in caught.value.hint
    assert kept(job)


def test_stopped_it_says_how_to_go_on(job: Job) -> None:
    stop = threading.Event()
    patient, nodes = msgspec.structs.replace(job, within_s=60), [FakeNode("a"), FakeNode("b")]
    nodes[0].heard = lambda message: stop.set() if isinstance(message, Measured) else None
    with pytest.raises(Interrupted, match="are kept in") as caught:
        weighed(patient, nodes, stop=stop)
    assert "run the same command again" in caught.value.hint
    assert kept(job)


def test_another_version_is_refused(job: Job) -> None:
    with pytest.raises(UsageError, match=r"old has Steelyard 0\.0\.1") as caught:
        weighed(job, [FakeNode("old", version="0.0.1")])
    assert "same version" in caught.value.hint


def test_what_no_node_can_run_is_the_models_fault(job: Job) -> None:
    with pytest.raises(ModelError, match="it cannot be run here"):
        weighed(job, [FakeNode("a", fails="it cannot be run here")])


def test_no_password_travels(job: Job) -> None:
    secret = msgspec.structs.replace(job, ledger="postgresql://me:sesame@host/db", mlflow="http://me:sesame@host")
    assert b"sesame" not in to_json(sent(secret))


def test_nodes_of_one_machine_work_in_folders_of_their_own() -> None:
    one, two = Node(), Node()
    assert one._folder != two._folder
    del one, two


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv(WORK, str(tmp_path / "link"))
    with pytest.raises(InputError, match="another user"):
        Node()
