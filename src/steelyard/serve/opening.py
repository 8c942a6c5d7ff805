"""A bundle becomes a model that answers: its metadata, its resident variants, its policy."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from steelyard.bundle import Bundle, read_bundle
from steelyard.errors import BundleError
from steelyard.ladder import figures_of, ladder_of
from steelyard.machines.limits import memory_mb
from steelyard.records.engine import Array, SessionSettings
from steelyard.records.model import TensorInfo
from steelyard.records.plan import Figures, Plan
from steelyard.records.signature import Signature
from steelyard.runtimes import open_session
from steelyard.scheduling import PLANNED_QUANTILE, Policy, Single, profile
from steelyard.serve.canary import AT_ONCE, Terms
from steelyard.serve.datatypes import datatype_of
from steelyard.serve.processes import Isolation, ProcessSession, in_processes
from steelyard.serve.requests import Metadata, TensorSpec
from steelyard.serve.served import Promise, Resident, ServedModel
from steelyard.serve.shadow import Shadow
from steelyard.switching import Controller, Ladder

log = logging.getLogger(__name__)

USABLE_MEMORY = 0.8
"""Of the machine's, for all resident variants together."""
TYPICAL_STEPS = 16
"""Of the item that warms up a model whose items differ in length."""
ORIGINAL = "original"
"""The variant that is the model as given."""
LARGEST_REQUEST = 1024
"""Items that one request may bring to a model that takes any number."""


@dataclass(frozen=True)
class Options:
    """How bundles are served."""

    isolate: bool = False
    """Every variant in processes of its own, even where the plan runs it in one."""
    switch: bool = True
    """Whether all rungs of the plan's ladder may answer, as the load asks; otherwise the chosen one alone."""
    most_waiting: int = 10_000
    """Items in the queue of a model; more are refused."""
    shadow: float = 0.0
    """Share of the items that are answered by the best variant as well, to be compared."""
    hang_s: float = 30.0
    """A batch in a process of its own that takes longer is given up, and the process started again."""
    open_s: float = 900.0
    """A bundle that takes longer to be opened and warmed up is given up."""
    canary: Terms = AT_ONCE
    """How a version that is loaded beside another is tried."""
    only: str = ""
    """The rung that answers alone, by its variant, and refuses what it cannot answer in time as all rungs together do;
    empty: as `switch` says."""


def open_model(name: str, folder: Path, version: int, options: Options) -> ServedModel:
    """The bundle in `folder`, opened and warmed up.

    Raises BundleError when it cannot be served, CandidateFailure when its model cannot be opened or answers NaN.
    """
    bundle = read_bundle(folder)
    plan, signature = bundle.plan, bundle.plan.subject.signature
    chosen = plan.chosen_figures
    if chosen is None:
        raise BundleError(f"{folder} holds a plan without a chosen candidate", "weigh again with other requirements")
    if signature is None:
        raise BundleError(f"{folder} was made by a version that did not note how the model is asked", "weigh again")
    with ExitStack() as opened:
        residents, policy = _resident(bundle, chosen, options, opened)
        if options.shadow:
            residents = _with_the_original(bundle, residents, chosen.candidate.workers, options, opened)
        model = ServedModel(
            metadata_of(name, version, chosen, signature),
            signature,
            residents,
            policy,
            chosen.candidate.workers,
            promise_of(plan),
            options.most_waiting,
            Shadow(options.shadow, best_of(residents)) if options.shadow else None,
        )
        opened.callback(model.close, drain=False)
        model.warm_up(first_item(signature))
        opened.pop_all()
        return model


def _resident(
    bundle: Bundle, chosen: Figures, options: Options, opened: ExitStack
) -> tuple[Sequence[Resident], Policy]:
    """What is held in memory, and what chooses among it."""
    ladder, figures = _ready(bundle, chosen, options)
    residents = []
    for rung, each in zip(ladder.rungs, figures, strict=True):
        resident = replace(open_resident(bundle, each, options), quality=rung.quality)
        opened.callback(resident.close)
        residents.append(resident)
    is_plain = len(residents) == 1 and not options.only
    return residents, Single(ladder.rungs[0].profile, ladder.workers) if is_plain else Controller(ladder)


def _ready(bundle: Bundle, chosen: Figures, options: Options) -> tuple[Ladder, Sequence[Figures]]:
    """The rungs that are wanted: all that fit, or one alone. Raises BundleError when the ladder does not hold it."""
    if options.switch and not options.only:
        return _fitting(bundle.plan, chosen)
    ladder, figures = ladder_of(bundle.plan), figures_of(bundle.plan)
    alone = options.only or chosen.candidate.variant
    names = [rung.name for rung in ladder.rungs]
    if alone not in names:
        raise BundleError(f"{bundle.folder} has no rung '{alone}' on its ladder", f"it has: {', '.join(names)}")
    place = names.index(alone)
    return msgspec.structs.replace(ladder, rungs=(ladder.rungs[place],)), [figures[place]]


def _with_the_original(
    bundle: Bundle, residents: Sequence[Resident], workers: int, options: Options, opened: ExitStack
) -> Sequence[Resident]:
    """The model as given is what others are compared with, be it worth serving or not."""
    plan = bundle.plan
    if any(one.variant == ORIGINAL for one in residents):
        return residents
    reference = msgspec.structs.replace(plan.reference.candidate, streams=workers, instances=1, threads=1)
    figures = msgspec.structs.replace(plan.reference, candidate=reference)
    original = replace(open_resident(bundle, figures, options), quality=plan.reference.quality.value)
    opened.callback(original.close)
    return [*residents, original]


def best_of(residents: Sequence[Resident]) -> int:
    """The rung that others are compared with: the original where it is ready, otherwise the most accurate."""
    return next((rung for rung, one in enumerate(residents) if one.variant == ORIGINAL), 0)


def _fitting(plan: Plan, chosen: Figures) -> tuple[Ladder, Sequence[Figures]]:
    """The ladder of those that fit into memory together, the chosen one first of all."""
    ladder, left_mb = ladder_of(plan), memory_mb() * USABLE_MEMORY - chosen.memory_mb
    kept = []
    for rung, figures in zip(ladder.rungs, figures_of(plan), strict=True):
        is_chosen = figures.candidate.id == chosen.candidate.id
        if is_chosen or figures.memory_mb <= left_mb:
            left_mb -= 0.0 if is_chosen else figures.memory_mb
            kept.append((rung, figures))
        else:
            log.warning("%s stays out of memory: %.0f MB are left for it", rung.name, max(left_mb, 0.0))
    rungs, fitting = zip(*kept, strict=True)
    return msgspec.structs.replace(ladder, rungs=rungs), fitting


def open_resident(bundle: Bundle, figures: Figures, options: Options) -> Resident:
    """One candidate of the bundle, opened as it was measured. Raises CandidateFailure when it cannot be opened."""
    candidate = figures.candidate
    main = bundle.main(candidate.variant)
    cost = figures.cost.per_million
    told = (candidate.variant, candidate.id, figures.quality.value, None if cost is None else cost / 1000)
    plan = profile(figures.service, PLANNED_QUANTILE, candidate.max_batch)
    is_apart = options.isolate or in_processes(candidate, plan)
    settings = SessionSettings(
        precision=candidate.precision,
        threads=candidate.threads,
        streams=candidate.streams if is_apart else candidate.workers,
        max_batch=candidate.max_batch,
    )
    if not is_apart:
        return Resident(*told, open_session(candidate.runtime, main, settings), candidate.max_batch)
    isolation = Isolation(memory_mb=int(memory_mb() * USABLE_MEMORY), hang_s=options.hang_s)
    session = ProcessSession(candidate.runtime, main, settings, candidate.instances, isolation)
    return Resident(
        *told,
        session,
        candidate.max_batch,
        session.close,
        session.revive,
        lambda: session.missing,
        session.give_up,
    )


def promise_of(plan: Plan) -> Promise:
    """What the plan promises of each request."""
    latency = plan.requirements.latency
    bound_s = math.inf if latency is None else latency.bound_ms / 1000
    lower_is_better = plan.reference.quality.lower_is_better
    percentile = None if latency is None else latency.percentile
    return Promise(bound_s, percentile, lower_is_better, plan.price.currency)


def metadata_of(name: str, version: int, chosen: Figures, signature: Signature) -> Metadata:
    """What clients are told."""
    return Metadata(
        name=name,
        versions=(str(version),),
        platform=f"steelyard_{chosen.candidate.runtime}",
        inputs=tuple(_told(each) for each in signature.inputs),
        outputs=tuple(_told(each) for each in signature.outputs),
        max_batch_size=LARGEST_REQUEST,
    )


def _told(tensor: TensorInfo) -> TensorSpec:
    shape = tuple(-1 if size is None else size for size in tensor.shape)
    # Items of one request are put into batches one by one, so any number may come whatever the model insists on.
    return TensorSpec(name=tensor.name, datatype=datatype_of(np.dtype(tensor.dtype)), shape=(-1, *shape[1:]))


def first_item(signature: Signature) -> Mapping[str, Array]:
    """One item that warms the model up before anybody waits for it.

    Measured values are 0; whole numbers are 1: as tokens they are known, and a mask lets them be seen.
    """
    return {each.name: _plain(each) for each in signature.inputs}


def _plain(tensor: TensorInfo) -> Array:
    shape = (1, *(TYPICAL_STEPS if size is None else size for size in tensor.shape[1:]))
    if tensor.dtype == "object":
        return np.full(shape, "", dtype=object)
    dtype = np.dtype(tensor.dtype)
    return np.zeros(shape, dtype) if dtype.kind == "f" else np.ones(shape, dtype)
