"""Models by name: replaced while they are asked, without losing a request; what is broken never takes over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from steelyard.errors import BundleError, InputError, UnknownModel
from steelyard.serve import repository as repository_module
from steelyard.serve import served
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository
from versions import PATIENCE_S, Engine, Opener, answer, ask


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def repository(opener: Opener) -> Repository:
    return Repository({"m": Path("m"), "other": Path("other")}, Options(), opener)


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


@pytest.fixture
def hanging(repository: Repository, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Version 1 of `m`, which serves a batch that does not end."""
    monkeypatch.setattr(served, "LONGEST_END_S", 0.05)
    repository.load("m")
    engine = opener.engines[1]
    engine.go.clear()
    ask(repository)
    assert engine.entered.acquire(timeout=PATIENCE_S)
    yield engine
    engine.go.set()


def test_a_model_that_hangs_is_healed_by_loading_it_anew(repository: Repository, hanging: Engine) -> None:
    repository.load("m")
    assert answer(repository) == 2
    repository.close()
    assert not has_ended(repository)
    hanging.go.set()
    end = time.monotonic() + PATIENCE_S
    while not has_ended(repository):
        assert time.monotonic() < end
        time.sleep(0.001)


def test_one_that_hangs_keeps_no_other_from_being_let_go_of(
    repository: Repository, hanging: Engine, opener: Opener
) -> None:
    repository.load("other")
    repository.close()
    assert opener.closed == [1]  # of the other one; each counts its own versions
    assert not has_ended(repository)


def test_what_is_loaded_too_late_is_let_go_of(
    repository: Repository, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "LOADED_S", 0.01)
    began, may_go = threading.Event(), threading.Event()

    def prepare(_: Engine) -> None:
        began.set()
        assert may_go.wait(PATIENCE_S)

    opener.prepare = prepare
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(repository.load, "m")
        assert began.wait(PATIENCE_S)
        repository.close()
        may_go.set()
        with pytest.raises(BundleError, match="the server ends"):
            loading.result(PATIENCE_S)
    assert opener.closed == [1]
    assert has_ended(repository)


def test_one_that_does_not_get_ready_is_given_up_and_another_can_be_loaded(opener: Opener) -> None:
    repository = Repository({"m": Path("m")}, Options(open_s=0.1), opener)
    repository.load("m")
    may_go = threading.Event()
    opener.prepare = lambda engine: None if engine.version != 2 else _waited(may_go)
    with pytest.raises(BundleError, match=r"not ready within 0\.1 s"):
        repository.load("m")
    assert repository.standing("m").state == "READY"
    assert answer(repository) == 1
    repository.load("m")
    assert answer(repository) == 3
    may_go.set()
    end = time.monotonic() + PATIENCE_S
    while opener.closed != [1, 2]:
        assert time.monotonic() < end
        time.sleep(0.001)
    assert answer(repository) == 3
    repository.close()


def _waited(event: threading.Event) -> None:
    assert event.wait(PATIENCE_S)


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


def has_ended(repository: Repository) -> bool:
    return repository.ended


def is_ready(repository: Repository) -> bool:
    return repository.ready
