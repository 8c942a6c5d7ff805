"""A search: killed and gone on with, losers stopped, the front by validation and measured cost, mistakes told."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from command import run_in
from steelyard.errors import Interrupted, UsageError
from steelyard.loop import scales
from steelyard.loop.searching import Sought, search
from steelyard.records.base import from_json
from steelyard.records.requirements import Latency, Requirements
from steelyard.records.searching import Search, Tried
from steelyard.records.training import Epoch
from steelyard.train.contest import front

RECIPE = """
name = "rows"
[data]
source = "rows.csv"
target = "y"
[network]
name = "mlp"
width = 4
[optimiser]
name = "adamw"
rate = 0.02
[training]
epochs = 9
batch = 256
[search]
network.width = [4, 256]
optimiser.rate = [1e-7, 2e-7, 0.01, 0.02, 0.04]
"""


QUICK = scales.Effort(all_cores=True, every=False, seconds=0.05, rounds=2)
"""In the place of a careful weighing, which takes long."""


SOUGHT = Sought(recipe="rows.toml", out=Path("found"))


class Told:
    """Remembers what it is told, and stops the search when told so. See `steelyard.loop.trials.Watch`."""

    def __init__(self, stop: threading.Event | None = None, after: int = 0) -> None:
        self.epochs: list[tuple[str, int]] = []
        self.ends: list[Tried] = []
        self.weighed: list[str] = []
        self._stop = stop
        self._after = after

    def weighs(self, told: str) -> None:
        self.weighed.append(told)

    def epoch(self, told: str, epoch: Epoch, epochs: int) -> None:
        self.epochs.append((told, epoch.number))
        if self._stop is not None and len(self.epochs) == self._after:
            self._stop.set()

    def ended(self, tried: Tried) -> None:
        self.ends.append(tried)


KILLED = """
import os, signal, sys
from pathlib import Path
from steelyard.loop import scales
from steelyard.loop.searching import Sought, search
from test_searching import Told
class Dies(Told):
    def epoch(self, told, epoch, epochs):
        super().epoch(told, epoch, epochs)
        if self.ends and epoch.number == 5:
            print(told, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
search(Sought(recipe="rows.toml", out=Path("found")), Dies())
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(0)
    a, b = rng.normal(5, 2, 800), rng.normal(-1, 3, 800)
    rows = [f"{x:.3f},{y:.3f},{'yes' if x * y > -4 else 'no'}" for x, y in zip(a, b, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    (folder / "rows.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def stopped(place: Path) -> str:
    """What is told when a search is stopped in its first network."""
    stop = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        with pytest.raises(Interrupted) as told:
            search(SOUGHT, Told(stop, after=2), stop)
    return str(told.value)


@pytest.fixture(scope="module")
def killed(place: Path, stopped: str) -> str:
    """The same search goes on, and is killed in its second network: which that was."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED]
    ended = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def found(place: Path, killed: str) -> tuple[Search, Told]:
    """The same search, gone on with until the space is tried out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(scales, "CAREFUL", QUICK)
        told = Told()
        return search(SOUGHT, told), told


def test_who_stops_a_search_keeps_what_it_found(stopped: str) -> None:
    assert stopped.startswith("stopped: 0 networks are kept in found\n")
    assert "the same command again" in stopped


def test_a_search_that_was_killed_goes_on_in_the_middle_of_a_network(found: tuple[Search, Told], killed: str) -> None:
    whole, told = found
    assert told.epochs[0] == (killed, 5), "the epochs before are not made again"
    assert len(told.ends) == len(whole.tried) - 1, "what came to its end before is not tried again"
    assert [tried.number for tried in whole.tried] == list(range(1, 11))
    assert whole.tried[0].told == "width 4, rate 0.02", "the recipe as it stands came first"
    rough = [what for what in told.weighed if "once more" not in what]
    assert len(rough) <= 1, "networks that differ only in how they are trained are weighed once, and not again"
    assert whole.complete
    assert whole.points == 10
    again = next(tried for tried in whole.tried if tried.told == killed)
    assert again.ending == "stopped" or len(again.course) == 9


def test_losers_are_stopped_early_and_winners_are_not(found: tuple[Search, Told]) -> None:
    stopped = [tried for tried in found[0].tried if tried.ending == "stopped"]
    assert stopped
    for tried in stopped:
        assert len(tried.course) in (1, 3)
        assert re.match(r"stopped after epoch [13] of 9: too many networks that cost no more", tried.reason)
    best = max(found[0].tried, key=lambda tried: tried.validation or 0)
    assert best.ending == "finished"
    assert len(best.course) == 9
    assert best.settings["optimiser.rate"] >= 0.01


def test_the_front_is_of_validation_and_of_measured_cost(found: tuple[Search, Told], place: Path) -> None:
    whole = found[0]
    by_number = {tried.number: tried for tried in whole.tried}
    costs = {tried.number: tried.serving.machine_ms for tried in whole.tried if tried.serving}
    finished = {number for number, tried in by_number.items() if tried.ending == "finished"}
    points = {number: (by_number[number].validation or 0.0, costs[number]) for number in finished}
    assert [member.number for member in whole.front] == front(points)
    for member in whole.front:
        assert member.serving.service, "service times were measured"
        assert member.per_million == pytest.approx(1e6 / 3600 / member.serving.capacity_per_s)
        assert member.test is not None
        assert member.test.low <= member.test.value <= member.test.high
        assert member.test_items == 160
        assert member.serving == by_number[member.number].serving
    assert from_json((place / "found" / "search.json").read_bytes(), Search) == whole


def test_each_network_of_the_front_can_be_weighed(found: tuple[Search, Told], place: Path) -> None:
    folders = {each.name for each in (place / "found" / "front").iterdir()}
    assert folders == {str(member.number) for member in found[0].front}
    for name in folders:
        there = {each.name for each in (place / "found" / "front" / name).iterdir()}
        assert {"model.onnx", "test.npz", "steelyard.toml", "run.json", "README.md", "report.html"} <= there


def test_the_report_shows_the_front_and_all_that_was_tried(found: tuple[Search, Told], place: Path) -> None:
    page = (place / "found" / "report.html").read_text()
    assert 'class="steps"' in page
    assert page.count('<g class="front">') == len(found[0].front)
    assert page.count('<g class="fails">') == sum(tried.ending == "stopped" for tried in found[0].tried)
    assert "10 of 10 networks were tried" in page
    assert not re.search(r"https?:", page)


def test_the_same_command_again_tries_nothing_and_tells_the_front(found: tuple[Search, Told], place: Path) -> None:
    ran = run_in(place, "train", "rows.toml", "--search", "--out", "found", "--machine", "m7a.large")
    assert ran.status == 0, ran.err
    assert "rows: the front" in ran.out
    assert "USD" in ran.out
    assert f"cd found/front/{found[0].front[-1].number} && steelyard weigh" in ran.out


def test_another_space_in_the_same_folder_is_refused(
    found: tuple[Search, Told], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    (place / "other.toml").write_text(RECIPE.replace("0.04]", "0.05]"))
    with pytest.raises(UsageError, match=r"found holds another search: .*\n.*--fresh"):
        search(msgspec.structs.replace(SOUGHT, recipe="other.toml"))


def test_a_network_that_cannot_keep_the_latency_is_not_trained(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (place / "one.toml").write_text(
        RECIPE.replace("[4, 256]", "[4]").replace("[1e-7, 2e-7, 0.01, 0.02, 0.04]", "[0.02]")
    )
    wanted = Requirements(latency=Latency(percentile=95, bound_ms=1e-4), scenario="server")
    told = Told()
    with pytest.raises(UsageError, match="no network was trained to its end: it cannot keep the latency"):
        search(Sought(recipe="one.toml", out=Path("late"), within_s=600.0, requirements=wanted), told)
    assert [tried.ending for tried in told.ends] == ["stopped"]
    assert told.epochs == []


def test_what_is_no_place_for_a_search_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(UsageError, match=r"\. holds other things"):
        search(msgspec.structs.replace(SOUGHT, out=Path()))
    SOUGHT.out.mkdir(exist_ok=True)
    with SOUGHT.out.joinpath("search.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another search is under way in found"):
            search(SOUGHT)


def test_without_a_validation_part_nothing_is_compared(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(UsageError, match="on a validation part, and there is none"):
        search(msgspec.structs.replace(SOUGHT, out=Path("never"), changes={"data.validation": 0}))


@pytest.mark.parametrize("flags", [("--quality-drop", "1%"), ("--cheaper", "prune")])
def test_flags_that_do_not_go_together_are_told(place: Path, flags: tuple[str, str]) -> None:
    ran = run_in(place, "train", "rows.toml", "--search", *flags)
    assert ran.status == 2
    assert f"{flags[0]} does not go with --search" in ran.err
