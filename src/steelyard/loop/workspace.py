"""The folder that is kept between runs: the ledger, prepared data, built variants, logs."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

import msgspec

from steelyard.errors import CandidateFailure, DataError, InputError, ModelError, UsageError
from steelyard.measure.process import Limits, call
from steelyard.records.base import digest, from_json, to_json
from steelyard.records.data import DataSpec, Prepared
from steelyard.records.model import ModelInfo
from steelyard.records.subject import Task
from steelyard.subjects.company import Company, look_argument, together

PREPARED = "prepared.json"


class Workspace:
    """`work/` with `ledger.db`, `data/`, `built/` and `logs/`. Everything but the ledger can be made anew."""

    def __init__(self, folder: Path, limits: Limits, stop: threading.Event) -> None:
        self.folder = folder
        self.limits = limits
        self._stop = stop
        try:
            for name in ("data", "built", "logs"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UsageError(
                f"the work folder {folder} cannot be written: {error.strerror}",
                "run where you may write, or choose another place with --work",
            ) from error
        self._sweep()

    def _sweep(self) -> None:
        """Remove what a killed run left half-made."""
        for left in (*self.folder.glob("scratch-*"), *self.folder.glob("*/building-*")):
            shutil.rmtree(left, ignore_errors=True)

    @property
    def ledger(self) -> Path:
        """Where the ledger is unless another place is named."""
        return self.folder / "ledger.db"

    def inspect(self, model: Path) -> ModelInfo:
        """What the model file is, checked in a child process before any engine sees it."""
        task = Task(function="steelyard.models.inspect:inspect", argument={"path": str(model)})
        return from_json(to_json(self._call(task, "inspect", ModelError, str(model))), ModelInfo)

    def prepare(self, spec: DataSpec, info: ModelInfo, *, classes: int | None, measured: bool = False) -> Prepared:
        """The data, read and cleaned in a child process; taken from the last run when nothing changed.

        `classes` are those that the model tells apart; labels that were `measured` are none, even if they are whole.
        """
        sources = [
            _stamp(Path(file)) for file in (spec.source, spec.manifest, spec.tokenizer, spec.calibration) if file
        ]
        place = self.folder / "data" / digest(spec, info.inputs, classes, measured, sources)
        prepared = _prepared_before(spec, place)
        if prepared is None:
            argument = {"spec": spec, "inputs": info.inputs, "outputs_classes": classes, "measured": measured}
            prepared = self._prepare(argument, spec.source, place)
        company = self._company(prepared, info)
        return prepared if company is None else together(prepared, company)

    def _prepare(self, argument: dict[str, object], source: str, place: Path) -> Prepared:
        """Prepare the data, and move it to its place once it is whole."""
        fresh = Path(tempfile.mkdtemp(prefix="building-", dir=self.folder / "data"))
        try:
            task = Task(function="steelyard.data.prepare:prepare", argument=argument | {"into": str(fresh)})
            prepared = from_json(to_json(self._call(task, "prepare", DataError, source)), Prepared)
            (fresh / PREPARED).write_bytes(to_json(prepared))
            shutil.rmtree(place, ignore_errors=True)
            fresh.rename(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return _at(prepared, place)

    def bears_as_much(self, prepared: Prepared, info: ModelInfo) -> bool:
        """Whether this model, too, takes the items together as they were prepared for another one."""
        company = self._company(prepared, info)
        return company is None or (company.alone <= prepared.alone and company.pad >= prepared.pad)

    def _company(self, prepared: Prepared, info: ModelInfo) -> Company | None:
        """Whether the model bears several of these items at once; asked once of each model. None: it cannot be told."""
        file = Path(prepared.folder) / f"company-{digest(info.sha256)}.json"
        if not file.is_file():
            task = Task(function="steelyard.subjects.together:look", argument=look_argument(info, prepared))
            try:
                file.write_bytes(to_json(call(task, self.limits, self.folder / "logs" / "company.log", self._stop)))
            except CandidateFailure:
                return None  # it fails on single items: the first look at the reference tells why
        return from_json(file.read_bytes(), Company)

    def _call(self, task: Task, name: str, kind: type[InputError], what: str) -> object:
        try:
            return call(task, self.limits, self.folder / "logs" / f"{name}.log", self._stop)
        except CandidateFailure as failure:
            raise kind(
                f"{what} could not be read: {failure.message}",
                f"the output of the process that tried is in {self.folder / 'logs' / name}.log",
            ) from failure


def _prepared_before(spec: DataSpec, place: Path) -> Prepared | None:
    if ":" in spec.source and not Path(spec.source).exists():
        return None  # a function may return something else every time
    try:
        return _at(from_json((place / PREPARED).read_bytes(), Prepared), place)
    except (OSError, ValueError):
        return None


def _at(prepared: Prepared, place: Path) -> Prepared:
    return msgspec.structs.replace(prepared, folder=str(place.resolve()))


def _stamp(source: Path) -> object:
    """Changes when the source does: size and time of a file, of all files of a folder."""
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    return [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
