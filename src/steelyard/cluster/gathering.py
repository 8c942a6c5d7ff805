"""Searches on all nodes side by side; what they find goes into the ledger, and to whoever watches, at once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from steelyard.cluster.far import FarNode, NodeLost, search
from steelyard.cluster.kinds import Kind, sent
from steelyard.cluster.shares import ALL, Share, Shares, divided
from steelyard.errors import BY_NAME, Interrupted, SteelyardError
from steelyard.ledger import Ledger, shown
from steelyard.records.errand import Ended, Errand, Failed, Heard, Measured, Message, Parcel
from steelyard.records.job import Job
from steelyard.search import Event

SHARING = 0.7
"""Of the time allowed, what the nodes of one kind spend on their shares; the rest is for the search over all."""
SHORTEST_S = 1.0
LOOK_S = 0.2


class Gathering:
    """One job on several kinds of machines. `told`: what is to be said about it in the plan."""

    def __init__(
        self,
        job: Job,
        parcel: Parcel,
        kinds: Sequence[Kind],
        ledger: Ledger,
        on_event: Callable[[Event], None],
        stop: threading.Event,
    ) -> None:
        self._job = job
        self._parcel = parcel
        self._kinds = kinds
        self._ledger = ledger
        self._on_event = on_event
        self._stop = stop
        self._started = time.monotonic()
        self._inbox: queue.Queue[tuple[Kind, FarNode, Message | NodeLost]] = queue.Queue()
        self.told: list[str] = []
        self.measured = 0
        self.resumed = sum(len(kind.entries) for kind in kinds)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    def run(self) -> None:
        """Shares first, where a kind has several nodes; then all candidates on one node of each kind.

        Raises `Interrupted`, and the reason when no kind can weigh the subject.
        """
        several = {
            number: Shares(divided(kind.weighing.candidates[1:], len(kind.nodes)))
            for number, kind in enumerate(self._kinds)
            if len(kind.nodes) > 1
        }
        self._search(several, self._job.within_s * SHARING)
        able = {number: Shares([ALL]) for number, kind in enumerate(self._kinds) if kind.failed is None}
        self._search(able, self._job.within_s)
        failed = [(kind, kind.failed) for kind in self._kinds if kind.failed is not None]
        if len(failed) == len(self._kinds):
            raise _error(failed[0][1])
        self.told += [f"left out: {kind.name}: {why.message}" for kind, why in failed]

    def _search(self, shares: Mapping[int, Shares], until_s: float) -> None:
        """Every share of every kind, each on one node at a time; nothing goes on after `until_s` from the beginning."""
        work = [
            (self._kinds[number], node, mine) for number, mine in shares.items() for node in self._kinds[number].nodes
        ]
        threads = [threading.Thread(target=self._work, args=(*each, until_s), daemon=True) for each in work]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or not self._inbox.empty():
            try:
                self._heard(*self._inbox.get(timeout=LOOK_S))
            except queue.Empty:
                continue
        if self._stop.is_set():
            raise Interrupted(
                f"stopped: {self.measured + self.resumed} measurements are kept in "
                f"{shown(self._job.ledger or self._job.work)}",
                "run the same command again to go on where it stopped",
            )

    def _work(self, kind: Kind, node: FarNode, shares: Shares, until_s: float) -> None:
        """One node takes shares until none is left, or it is lost."""
        while not self._stop.is_set() and (share := shares.take()) is not None:
            try:
                self._errand(kind, node, share, max(SHORTEST_S, until_s - self.seconds))
            except (NodeLost, SteelyardError) as error:
                shares.give_back(share)
                self._inbox.put((kind, node, error if isinstance(error, NodeLost) else NodeLost(error.message)))
                return
            shares.finish()
            if kind.failed is not None:
                shares.close()
        if self._stop.is_set():
            shares.close()

    def _errand(self, kind: Kind, node: FarNode, share: Share, within_s: float) -> None:
        job = msgspec.structs.replace(sent(self._job), price=kind.price)
        known = tuple(kind.entries)
        errand = Errand(job=job, parcel=self._parcel, within_s=within_s, only=share.only, known=known)
        for message in search(node, errand):
            self._inbox.put((kind, node, message))
            if self._stop.is_set():
                node.ask("halt")
            elif isinstance(message, Failed):
                kind.failed = message
            elif isinstance(message, Ended) and share == ALL:
                kind.ended = message

    def _heard(self, kind: Kind, node: FarNode, message: Message | NodeLost) -> None:
        match message:
            case Measured(entry=entry):
                # Every node of a kind times the reference for itself: the first counts for all.
                if kind.is_new(entry):
                    self._ledger.append(entry)
                    kind.entries.append(entry)
                    self.measured += 1
            case Heard():
                text = f"{node.name}: {message.text}"
                self._on_event(Event(message.stage, text, message.done, message.total, message.best))
            case NodeLost():
                kind.nodes.remove(node)
                self.told.append(f"{message}; what was measured there is kept")
                self._on_event(Event("cluster", str(message), 0, 1))


def _error(failed: Failed) -> SteelyardError:
    return BY_NAME.get(failed.name, SteelyardError)(failed.message, failed.hint)
