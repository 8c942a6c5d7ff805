"""Models by name: replaced while they are asked, without losing a request; what is broken never takes over."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from steelyard.errors import BundleError, InputError, UnknownModel
from steelyard.records.engine import Array
from steelyard.records.model import TensorInfo
from steelyard.records.signature import Signature
from steelyard.scheduling import Single, profile_of
from steelyard.serve.callers import Promise as Promised
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository
from steelyard.serve.requests import Answered, Asked, Metadata
from steelyard.serve.served import Promise, Resident, ServedModel

PATIENCE_S = 20
SIGNATURE = Signature(
    inputs=(TensorInfo(name="x", dtype="float32", shape=(None, 1)),),
    outputs=(TensorInfo(name="y", dtype="float32", shape=(None, 1)),),
)


class Tells:
    """Answers with its version."""

    def __init__(self, version: int) -> None:
        self.version = version

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        return [np.full_like(inputs["x"], self.version)]


class Opener:
    """Opens versions that tell their number; may be told to fail."""

    def __init__(self) -> None:
        self.broken = False
        self.closed: list[int] = []

    def __call__(self, name: str, folder: Path, version: int, options: Options) -> ServedModel:
        if self.broken:
            raise BundleError("the bundle is broken")
        metadata = Metadata(
            name=name, versions=(str(version),), platform="test", inputs=(), outputs=(), max_batch_size=8
        )
        resident = Resident("v", "v.test", 1.0, None, Tells(version), close=lambda: self.closed.append(version))
        policy = Single(profile_of([1e-6] * 8))
        return ServedModel(metadata, SIGNATURE, [resident], policy, 1, Promise(1.0), 10_000)


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def repository(opener: Opener) -> Repository:
    return Repository({"m": Path("m"), "other": Path("other")}, Options(), opener)


def answer(repository: Repository, name: str = "m") -> float:
    promised: Promised[Answered] = Promised()
    repository.served(name).ask(Asked({"x": np.zeros((1, 1), np.float32)}, 1), promised)
    return float(promised.future.result(PATIENCE_S).outputs[0][0, 0])


def test_a_model_is_ready_once_it_is_loaded(repository: Repository) -> None:
    assert not is_ready(repository)
    with pytest.raises(UnknownModel, match="'m' is not loaded"):
        answer(repository)
    repository.load("m")
    assert answer(repository) == 1
    assert not is_ready(repository)
    repository.load("other")
    assert is_ready(repository)
    repository.close()
    assert not is_ready(repository)


def test_a_new_version_takes_over_and_the_old_one_is_let_go(repository: Repository, opener: Opener) -> None:
    repository.load("m")
    repository.load("m")
    assert answer(repository) == 2
    assert opener.closed == [1]
    assert repository.served("m", "2").metadata.versions == ("2",)
    with pytest.raises(UnknownModel, match="served in version 2, not in 1"):
        repository.served("m", "1")
    repository.close()
    assert opener.closed == [1, 2]


def test_a_broken_bundle_never_takes_over(repository: Repository, opener: Opener) -> None:
    repository.load("m")
    opener.broken = True
    with pytest.raises(BundleError, match="broken"):
        repository.load("m")
    assert answer(repository) == 1
    opener.broken = False
    repository.load("m")
    assert answer(repository) == 3  # numbers are not given twice
    repository.close()


def test_no_request_is_lost_while_versions_change(repository: Repository) -> None:
    repository.load("m")
    stop, lost, answered = threading.Event(), [], []

    def keep_asking() -> None:
        while not stop.is_set():
            try:
                answered.append(answer(repository))
            except Exception as error:
                lost.append(error)

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    for _ in range(20):
        repository.load("m")
    stop.set()
    for asker in askers:
        asker.join()
    assert lost == []
    assert len(set(answered)) > 3
    repository.close()


def test_an_unloaded_model_says_so(repository: Repository) -> None:
    repository.load("m")
    repository.unload("m")
    with pytest.raises(UnknownModel, match="it was unloaded"):
        answer(repository)
    told = {each.name: each for each in repository.index()}
    assert told["m"].state == "UNAVAILABLE"
    assert told["m"].reason == "it was unloaded"
    repository.load("m")
    assert {each.name: each.state for each in repository.index()} == {"m": "READY", "other": "UNAVAILABLE"}
    repository.close()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "ä", "a b", "x" * 129, "a\0"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="is no name for a model"):
        Repository({name: Path()}, Options())


def test_an_unknown_model_is_told_with_those_that_there_are(repository: Repository) -> None:
    with pytest.raises(UnknownModel, match="no model 'nothing'") as error:
        repository.served("nothing")
    assert error.value.hint == "served are: m, other"
    with pytest.raises(UnknownModel):
        repository.load("nothing")


def is_ready(repository: Repository) -> bool:
    return repository.ready
