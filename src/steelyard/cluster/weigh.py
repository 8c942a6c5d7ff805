"""Weigh on the nodes of a cluster: each kind of machine is raced, its nodes share the candidates, one plan over all.

First every node searches its share, beside a reference of its own; then one node of each kind searches over all
candidates: nearly everything is known by then, so it confirms and times the best once more. Whatever is measured is
in the ledger at once. A node that is lost costs the measurement in flight: its share goes to another of its kind.
"""

from __future__ import annotations

import datetime
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from steelyard.bundle import Bundle, check_place, write_bundle
from steelyard.cluster.far import FarNode, NodeLost, fetch
from steelyard.cluster.gathering import Gathering
from steelyard.cluster.kinds import Kind, kinds_of
from steelyard.cluster.parcels import pack
from steelyard.decision import decide
from steelyard.errors import BundleError, InputError
from steelyard.ledger import Ledger, Outages
from steelyard.loop.joined import Measured, Pricing, join, names
from steelyard.loop.weigh import Balance, limits_of, others_of, prepare, searched_before, searched_now, subject_of
from steelyard.loop.workspace import Workspace
from steelyard.machines.here import this_machine
from steelyard.records.base import to_json
from steelyard.records.candidate import Candidate
from steelyard.records.job import Job
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.subject import Split
from steelyard.records.weighing import Weighing
from steelyard.report.page import render
from steelyard.search import Event, fold
from steelyard.version import VERSION


def weigh(job: Job, on_event: Callable[[Event], None] = lambda _: None, stop: threading.Event | None = None) -> Balance:
    """The plan for one job, measured on the cluster that the job names; otherwise as `loop.weigh`."""
    from steelyard.cluster.ray_nodes import ray_nodes

    stop = stop or threading.Event()
    check_place(Path(job.out))
    workspace = Workspace(Path(job.work), limits_of(job, this_machine()), stop)
    on_event(Event("cluster", f"looking for nodes of {job.on}", 0, 1))
    with ray_nodes(job.on or "ray", workspace.folder / "logs" / "ray.log") as nodes:
        return weigh_on(nodes, job, workspace, on_event, stop)


def weigh_on(
    nodes: Sequence[FarNode],
    job: Job,
    workspace: Workspace,
    on_event: Callable[[Event], None],
    stop: threading.Event,
) -> Balance:
    """The same on nodes that were found."""
    on_event(Event("reading", f"checking {job.model}", 0, 1))
    info = workspace.inspect(Path(job.model))
    on_event(Event("reading", f"preparing {job.data.source}", 0, 1))
    prepared = prepare(workspace, job, info)
    others = others_of(workspace, job, info, prepared)
    subject = subject_of(job, info, prepared, this_machine(), others)
    parcel, contents = pack(info, prepared, others)
    on_event(Event("cluster", f"sending {len(contents)} files to {len(nodes)} nodes", 0, 1))
    kinds, told = kinds_of(nodes, job, parcel, contents)
    outages = Outages(workspace.folder, lambda text: on_event(Event("ledger", text, 0, 1)), stop)
    with Ledger.open(job.ledger or workspace.ledger, outages) as ledger:
        for kind in kinds:
            machine = kind.weighing.machine.fingerprint
            here = _seen_from_here(kind.weighing, job, info.path)
            kind.weighing = searched_before(here, ledger.recall(subject.key, machine))
            kind.entries = ledger.of_subject(subject.key, machine)
            _remember(kind, ledger)
        gathering = Gathering(job, parcel, kinds, ledger, on_event, stop)
        gathering.run()
        for kind in kinds:
            complete = kind.ended is not None and kind.ended.figures.complete
            kind.weighing = searched_now(kind.weighing, job, complete=complete)
            _remember(kind, ledger)
        plan, chosen = decided(job, kinds, gathering, [*told, *gathering.told])
        bundle = _bundle(plan, chosen, workspace, Path(job.out))
    return Balance(bundle.plan, bundle.folder, tuple(ledger.notices))


def _remember(kind: Kind, ledger: Ledger) -> None:
    weighing = kind.weighing
    ledger.remember(weighing.subject.key, to_json(weighing).decode(), weighing.machine.fingerprint)


def _seen_from_here(weighing: Weighing, job: Job, model: str) -> Weighing:
    """With the paths of this machine, not of the node."""
    settings = weighing.subject.settings | {"data": job.data}
    subject = msgspec.structs.replace(weighing.subject, model=model, settings=settings)
    return msgspec.structs.replace(weighing, subject=subject)


def decided(job: Job, kinds: Sequence[Kind], gathering: Gathering, told: Sequence[str]) -> tuple[Plan, Kind]:
    """The plan over all kinds that still have a node to give its files, and the kind that was chosen."""
    ready = [kind for kind in kinds if kind.is_ready]
    if not ready:
        raise InputError(
            f"no node is left that has timed the model as given: {'; '.join(told) or 'the time was too short'}",
            "run the same command again: what was measured is kept",
        )
    named = dict(zip(names([kind.weighed for kind in ready]), ready, strict=True))
    weighing, measured, dropped = _alone(ready[0]) if len(ready) == 1 else _together(named)
    split = Split(select=weighing.subject.items_select, confirm=weighing.subject.items_confirm)
    warnings = (warning for kind in ready for warning in (kind.ended.warnings if kind.ended else ()))
    plan = decide(
        weighing,
        fold(weighing.candidates, measured, split, dropped),
        job.requirements,
        ready[0].price,
        search=_figures(ready, gathering),
        version=VERSION,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        warnings=(*job.warnings, *_left_out(kinds, ready), *told, *warnings),
    )
    return plan, named.get(_machine(plan.reference.candidate.id), ready[0])


def _alone(kind: Kind) -> tuple[Weighing, Measured, dict[str, str]]:
    """One kind of machine: candidates need not name it."""
    return kind.weighing, kind.weighed.measured, dict(kind.ended.dropped if kind.ended else {})


def _together(named: dict[str, Kind]) -> tuple[Weighing, Measured, dict[str, str]]:
    weighing, measured = join([kind.weighed for kind in named.values()], Pricing())
    ended = ((name, kind.ended) for name, kind in named.items() if kind.ended is not None)
    return weighing, measured, {f"{key}@{name}": why for name, end in ended for key, why in end.dropped.items()}


def _left_out(kinds: Sequence[Kind], ready: Sequence[Kind]) -> list[str]:
    """Kinds that lost all their nodes, or in which the reference was not timed."""
    return [
        f"left out: {kind.name}, where no node was left; 'steelyard decide' counts in what was measured there"
        for kind in kinds
        if kind not in ready and kind.failed is None
    ]


def _figures(ready: Sequence[Kind], gathering: Gathering) -> SearchFigures:
    ended = [kind.ended.figures for kind in ready if kind.ended is not None]
    return SearchFigures(
        seconds=round(gathering.seconds, 2),
        measured=gathering.measured,
        resumed=gathering.resumed,
        ruled_out=sum(figures.ruled_out for figures in ended),
        complete=len(ended) == len(ready) and all(figures.complete for figures in ended),
    )


def _bundle(plan: Plan, kind: Kind, workspace: Workspace, out: Path) -> Bundle:
    """The plan with the files of the chosen kind's front, ladder and reference, fetched from a node of that kind."""
    place = _machine(plan.reference.candidate.id)
    here = {name.partition("@")[0] for name in (*plan.front, *plan.ladder) if _machine(name) == place}
    kept = {c.variant: c for c in reversed(kind.weighing.candidates) if c.id in here or c == kind.weighing.reference}
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=workspace.folder))
    try:
        _fetch_all(kind, list(kept.values()), scratch)
        return write_bundle(plan, render(plan), {variant: scratch / variant for variant in kept}, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _machine(candidate: str) -> str:
    """What a candidate's id names after `@`; empty: it names none."""
    return candidate.partition("@")[2]


def _fetch_all(kind: Kind, candidates: Sequence[Candidate], into: Path) -> None:
    lost = ""
    for node in kind.nodes:
        try:
            for candidate in candidates:
                fetch(node, candidate, into / candidate.variant)
        except NodeLost as error:
            lost = str(error)
        else:
            return
    raise BundleError(
        f"the files of the plan could not be fetched: {lost}", "run the same command again: what was measured is kept"
    )
