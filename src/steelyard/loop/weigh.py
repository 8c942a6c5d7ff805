"""Weigh a model: check it, prepare its data, search, decide, write the bundle and its report."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from steelyard.bundle import Bundle, check_place, write_bundle
from steelyard.decision import decide
from steelyard.errors import Interrupted, ModelError
from steelyard.ledger import Keeping, Ledger, Outages, shown
from steelyard.loop.workspace import Workspace
from steelyard.machines.here import this_machine
from steelyard.measure.process import Limits
from steelyard.measure.workbench import Workbench
from steelyard.metrics import targets_of
from steelyard.records.base import from_json, to_json
from steelyard.records.data import Prepared
from steelyard.records.job import Job
from steelyard.records.machine import Machine, Price
from steelyard.records.model import ModelInfo
from steelyard.records.plan import Plan, SubjectInfo
from steelyard.records.weighing import Searched, Weighing
from steelyard.report.page import render
from steelyard.search import Event, Race, Result, Terms
from steelyard.subjects.company import signature
from steelyard.subjects.model import ModelSubject
from steelyard.subjects.origins import check_interface, check_names
from steelyard.version import VERSION

USABLE_MEMORY = 0.8
"""Of the machine's memory, what one candidate may use unless told otherwise."""
SHORTEST_LIMIT_S = 20.0
"""However short the search, one step may take as long as this."""
MOST_SEARCHES = 20
"""Noted of one subject on one machine."""
PATIENT_S = 300.0
"""A search that may take so long also tries the runtimes that compile a model for tens of seconds."""


@dataclass(frozen=True)
class Balance:
    """A plan, where its bundle is, and what was noticed on the way."""

    plan: Plan
    bundle: Path
    notices: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from steelyard.report.notebook import fragment

        return fragment(self.plan)


def weigh(job: Job, on_event: Callable[[Event], None] = lambda _: None, stop: threading.Event | None = None) -> Balance:
    """The plan for one job, as a bundle in `job.out`.

    Everything measured is in the ledger before the next measurement begins: after an interruption, a crash or a
    kill the same job goes on where it was. Raises `InputError` for a model, data or setting that cannot be used,
    and `Interrupted` once `stop` is set. A plan that meets no requirement is a result, not an error.
    """
    stop = stop or threading.Event()
    out = Path(job.out)
    check_place(out)
    machine = this_machine()
    workspace = Workspace(Path(job.work), limits_of(job, machine), stop)
    on_event(Event("reading", f"checking {job.model}", 0, 1))
    info = workspace.inspect(Path(job.model))
    on_event(Event("reading", f"preparing {job.data.source}", 0, 1))
    prepared = prepare(workspace, job, info)
    others = others_of(workspace, job, info, prepared)
    subject = subject_of(job, info, prepared, machine, others)
    weighing = weighing_of(job, subject, machine)
    outages = Outages(workspace.folder, lambda text: on_event(Event("ledger", text, 0, 1)), stop)
    with Ledger.open(job.ledger or workspace.ledger, outages) as ledger:
        weighing = searched_before(weighing, ledger.recall(subject.key, machine.fingerprint))
        ledger.remember(subject.key, to_json(weighing).decode(), machine.fingerprint)
        with Workbench(subject, workspace.folder, workspace.limits, stop, _teller(on_event)) as bench:
            result = _search(race_of(job, bench, ledger, machine, on_event), job)
            weighing = searched_now(weighing, job, complete=result.figures.complete)
            ledger.remember(subject.key, to_json(weighing).decode(), machine.fingerprint)
            plan = _plan(job, weighing, result)
            bundle = bundle_of(plan, bench, out)
        return Balance(bundle.plan, bundle.folder, tuple(ledger.notices))


def others_of(workspace: Workspace, job: Job, info: ModelInfo, prepared: Prepared) -> dict[str, ModelInfo]:
    """The models that were given as variants, checked. Raises `UsageError` for a name, `ModelError` for a model."""
    others = {name: workspace.inspect(Path(file)) for name, file in job.variants.items()}
    check_names(others)
    for name, other in others.items():
        check_interface(name, other, info)
        if not workspace.bears_as_much(prepared, other):
            raise ModelError(
                f"the answers of the variant '{name}' to an item depend on the items beside it, the model's do not",
                "export it in evaluation mode, with a mask if items differ in length",
            )
    return others


def subject_of(
    job: Job, info: ModelInfo, prepared: Prepared, machine: Machine, others: Mapping[str, ModelInfo] | None = None
) -> ModelSubject:
    """What is weighed, on this machine. Raises `UsageError` when the requirements do not fit its metric."""
    patient = job.within_s >= PATIENT_S or job.exhaustive
    metric = metric_name(job, prepared)
    subject = ModelSubject(info, prepared, metric, machine, patient=patient, output=job.output, others=others)
    job.requirements.check_direction(subject.metric.name, lower_is_better=subject.metric.lower_is_better)
    return subject


def race_of(
    job: Job,
    bench: Workbench,
    ledger: Keeping,
    machine: Machine,
    on_event: Callable[[Event], None],
    rungs: bool = True,
) -> Race:
    """The search that the job orders; without `rungs` nothing is measured that a server could switch to besides."""
    terms = Terms(
        requirements=job.requirements,
        price=job.price,
        within_s=job.within_s,
        exhaustive=job.exhaustive,
        rungs=rungs,
    )
    return Race(bench, ledger, machine, terms, on_event)


def weighing_of(job: Job, subject: ModelSubject, machine: Machine) -> Weighing:
    """What is weighed on this machine, for the ledger: decided on later, perhaps beside other machines."""
    known = job.price != Price()
    return Weighing(
        subject=subject_info(job, subject),
        machine=machine,
        candidates=subject.candidates(),
        name=job.price.machine if known and job.price.machine != Price().machine else "",
        price=job.price if known else None,
    )


def searched_before(weighing: Weighing, told: str | None) -> Weighing:
    """With the searches that an earlier weighing of the same candidates tells of."""
    try:
        before = None if told is None else from_json(told, Weighing)
    except msgspec.DecodeError:
        before = None  # of another version
    if before is None or before.candidates != weighing.candidates:
        return weighing
    return msgspec.structs.replace(weighing, searches=before.searches)


def searched_now(weighing: Weighing, job: Job, *, complete: bool) -> Weighing:
    """With the search that has just ended; the newest are kept."""
    search = Searched(requirements=job.requirements, complete=complete, exhaustive=job.exhaustive)
    others = tuple(s for s in weighing.searches if s.requirements != search.requirements or s.exhaustive)
    return msgspec.structs.replace(weighing, searches=(*others, search)[-MOST_SEARCHES:])


def _teller(on_event: Callable[[Event], None]) -> Callable[[str], None]:
    """Tells what the workbench has to say."""
    return lambda text: on_event(Event("waiting", text, 0, 1))


def limits_of(job: Job, machine: Machine) -> Limits:
    """What each candidate may use; no step may take longer than the whole search."""
    memory = job.candidate_memory_mb or machine.memory_mb * USABLE_MEMORY
    return Limits(memory_mb=int(memory), seconds=min(job.candidate_seconds, max(job.within_s, SHORTEST_LIMIT_S)))


def prepare(workspace: Workspace, job: Job, info: ModelInfo) -> Prepared:
    """The job's data; labels are held against the number of classes that the model puts out."""
    targets = "any" if job.metric is None else targets_of(job.metric)
    counted = job.metric is None or targets == "classes"
    missing = job.data.missing or ("keep" if _fills_in(info) else "drop")
    spec = msgspec.structs.replace(job.data, missing=missing)
    classes = classes_of(info, job.output) if counted else None
    return workspace.prepare(spec, info, classes=classes, measured=targets == "numbers")


def classes_of(info: ModelInfo, output: str | None) -> int | None:
    """How many classes the output that is judged tells apart; None: it does not say."""
    judged = (tensor for tensor in info.outputs if output in (None, tensor.name))
    shapes = (tensor.shape for tensor in judged if len(tensor.shape) == 2)
    return next((shape[1] for shape in shapes if shape[1] not in (None, 1)), None)


def _fills_in(info: ModelInfo) -> bool:
    """Whether the model itself does something about missing values."""
    return not {"Imputer", "IsNaN"}.isdisjoint(info.operators)


def metric_name(job: Job, prepared: Prepared) -> str:
    """What was asked for; otherwise accuracy for class numbers, mse for measured values, agreement without labels."""
    if job.metric or prepared.labels is None:
        return job.metric or "agreement"
    return "mse" if prepared.labels.dtype.startswith("float") else "accuracy"


def subject_info(job: Job, subject: ModelSubject) -> SubjectInfo:
    """What is weighed and what judges it, for the plan."""
    data = subject.data
    return SubjectInfo(
        name=subject.name,
        key=subject.key,
        metric=subject.metric.name,
        model=subject.info.path,
        model_sha256=subject.info.sha256,
        data=job.data.source,
        data_sha256=data.sha256,
        items_select=data.items_select,
        items_confirm=data.items_confirm,
        items_calibrate=data.items_calibrate,
        told=data.told,
        settings={"data": job.data, "output": job.output, "variants": _hashes(subject)},
        signature=signature(subject.info, data),
    )


def _hashes(subject: ModelSubject) -> dict[str, str]:
    """Of the models that were given as variants."""
    return {name: other.sha256 for name, other in subject.others.items()}


def _search(race: Race, job: Job) -> Result:
    try:
        return race.run()
    except Interrupted as interrupted:
        done = race.result().figures
        raise Interrupted(
            f"stopped: {done.measured + done.resumed} measurements are kept in {shown(job.ledger or job.work)}",
            "run the same command again to go on where it stopped",
        ) from interrupted


def _plan(job: Job, weighing: Weighing, result: Result) -> Plan:
    return decide(
        weighing,
        result.evidence,
        job.requirements,
        job.price,
        search=result.figures,
        version=VERSION,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        warnings=(*job.warnings, *result.warnings),
    )


def bundle_of(plan: Plan, bench: Workbench, out: Path) -> Bundle:
    """The plan with the artefacts of front and ladder, and of the reference, which `check` measures against."""
    kept = {*plan.front, *plan.ladder, bench.reference.id}
    candidates = [c for c in bench.subject.candidates() if c.id in kept]
    for candidate in candidates:
        bench.build(candidate)  # what was measured elsewhere, or before the work folder was emptied, is not here
    artefacts = {candidate.variant: bench.built_folder(candidate) for candidate in candidates}
    return write_bundle(plan, render(plan), artefacts, out)
