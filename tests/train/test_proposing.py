"""Proposals: each point once, in an order that a killed search goes on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.errors import UsageError
from steelyard.records.searching import Serving
from steelyard.records.space import Choice, Range, Space
from steelyard.train.proposing import AT_RANDOM, Proposal, Proposals

SMALL = Space(
    settings=(Choice(path="training.batch", options=(16, 32)), Choice(path="training.epochs", options=(1, 2, 3)))
)
SERVING = Serving(candidate="x", capacity_per_s=100, item_ms=1, memory_mb=1, service=(), spread=1)


def opened(folder: Path, space: Space = SMALL, identity: str = "one") -> Proposals:
    return Proposals(folder / "search.db", space, identity, seed=0, lower_is_better=False)


def finish(proposals: Proposals, proposal: Proposal) -> None:
    facts = {"ending": "finished", "reason": "", "validation": 0.5, "serving": SERVING}
    proposals.learn(proposal, proposals.ended(proposal.settings, **facts))


def test_every_point_is_proposed_once_and_then_none(tmp_path: Path) -> None:
    proposals, seen = opened(tmp_path), []
    proposals.begin_with({"training.batch": "32", "training.epochs": "2"})
    while (proposal := proposals.next()) is not None:
        seen.append(proposal.told)
        finish(proposals, proposal)
    assert seen[0] == "batch 32, epochs 2", "the recipe as it stands comes first"
    assert len(seen) == len(set(seen)) == 6
    assert [tried.number for tried in proposals.tried] == [1, 2, 3, 4, 5, 6]


def test_another_run_knows_what_was_tried_and_begins_with_what_was_under_way(tmp_path: Path) -> None:
    first = opened(tmp_path)
    proposal = first.next()
    assert proposal is not None
    finish(first, proposal)
    left = first.next()
    again = opened(tmp_path)
    taken = again.next()
    assert again.tried == first.tried
    assert left is not None
    assert taken is not None
    assert taken.settings == left.settings
    assert taken.key == left.key != proposal.key


def test_what_ends_the_program_again_and_again_is_left_out(tmp_path: Path) -> None:
    fatal = opened(tmp_path).next()
    assert fatal is not None
    opened(tmp_path).next()
    proposals = opened(tmp_path)
    other = proposals.next()
    assert other is not None
    assert other.key != fatal.key
    assert proposals.tried[0].reason == "the program ended 2 times while this was tried"


def test_what_came_through_an_epoch_is_not_to_blame(tmp_path: Path) -> None:
    keys = set()
    for _ in range(4):
        proposals = opened(tmp_path)
        proposal = proposals.next()
        assert proposal is not None
        proposals.absolve(proposal)
        keys.add(proposal.key)
    assert len(keys) == 1


def test_numbers_of_a_range_lie_in_it_and_read_well(tmp_path: Path) -> None:
    proposals = opened(tmp_path, Space(settings=(Range(path="optimiser.rate", low=1e-4, high=1e-1, log=True),)))
    for _ in range(AT_RANDOM + 2):
        proposal = proposals.next()
        assert proposal is not None
        finish(proposals, proposal)
    rates = [tried.settings["optimiser.rate"] for tried in proposals.tried]
    assert all(1e-4 <= rate <= 1e-1 and rate == float(f"{rate:.3g}") for rate in rates)
    assert len(set(rates)) == len(rates)


def test_another_search_in_the_same_file_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(UsageError, match=r"holds another search: .*\n.*--fresh"):
        opened(tmp_path, identity="two")
