"""Kinds of machines among the nodes of a cluster, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from steelyard.cluster.far import FarNode, NodeLost, greeting, ship, weighing
from steelyard.errors import UsageError
from steelyard.loop.joined import Weighed
from steelyard.machines.prices import is_known, price_of
from steelyard.records.errand import Ended, Errand, Failed, Parcel
from steelyard.records.job import Job
from steelyard.records.machine import Price
from steelyard.records.measurement import Entry
from steelyard.records.weighing import Weighing
from steelyard.version import VERSION


@dataclass
class Kind:
    """Nodes of one kind of machine: they share the candidates, and what one measures holds for all."""

    label: str
    weighing: Weighing
    price: Price
    nodes: list[FarNode]
    entries: list[Entry] = field(default_factory=list)
    ended: Ended | None = None
    """How the last search over all candidates ended."""
    failed: Failed | None = None
    """Why this kind cannot weigh the subject at all."""

    @property
    def name(self) -> str:
        """For people."""
        return self.label or self.weighing.machine.cpu

    def is_new(self, entry: Entry) -> bool:
        """Whether nothing is known under its key."""
        return all(entry.key != known.key for known in self.entries)

    @property
    def weighed(self) -> Weighed:
        """As a ledger would hold it."""
        return Weighed(self.weighing, self.entries)

    @property
    def is_ready(self) -> bool:
        """Whether it can be decided on, and its files be fetched."""
        return bool(self.nodes) and self.failed is None and self.weighed.is_ready


def kinds_of(
    nodes: Sequence[FarNode], job: Job, parcel: Parcel, contents: Mapping[str, Path]
) -> tuple[list[Kind], list[str]]:
    """The nodes by kind, all with the parcel; what is to be told of those that are not among them.

    Raises UsageError when a node runs another version of Steelyard, or none is left.
    """
    told: list[str] = []
    kinds: dict[tuple[str, str], Kind] = {}
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        ready = list(pool.map(lambda node: _made_ready(node, job, parcel, dict(contents)), nodes))
    for node, found in zip(nodes, ready, strict=True):
        if isinstance(found, NodeLost):
            told.append(f"{found}: it took no part")
        else:
            key = (found.machine.fingerprint, node.label)
            price = _price(node.label, job)
            kinds.setdefault(key, Kind(node.label, _named(found, node.label, price), price, [])).nodes.append(node)
    if not kinds:
        raise UsageError("no node of the cluster could be reached", "; ".join(told))
    return list(kinds.values()), told


def _made_ready(node: FarNode, job: Job, parcel: Parcel, contents: dict[str, Path]) -> Weighing | NodeLost:
    try:
        version = greeting(node).steelyard
        if version != VERSION:
            raise UsageError(
                f"{node.name} has Steelyard {version}, this machine {VERSION}",
                "install the same version on all of them",
            )
        ship(node, parcel, contents)
        return weighing(node, Errand(job=sent(job), parcel=parcel, within_s=job.within_s))
    except NodeLost as lost:
        return lost


def sent(job: Job) -> Job:
    """The job as it travels: nothing that only concerns this machine, and no address of a ledger with its password."""
    return msgspec.structs.replace(job, ledger=None, mlflow=None, on=None, out="", work="", warnings=())


def _price(label: str, job: Job) -> Price:
    """What a machine with this label costs: as was said, as the catalogue says, or as all."""
    if label in job.machine_prices:
        return job.machine_prices[label]
    if label and job.price == Price() and is_known(label):
        return price_of(label)
    return job.price


def _named(weighing: Weighing, label: str, price: Price) -> Weighing:
    known = price != Price()
    return msgspec.structs.replace(weighing, name=label or weighing.name, price=price if known else None)
