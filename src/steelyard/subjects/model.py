"""A model with validation data, as the search sees it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import msgspec

from steelyard.data.rows import read_rows
from steelyard.errors import DataError, UsageError
from steelyard.metrics import Metric, metric
from steelyard.metrics.judging import judge
from steelyard.metrics.own import OwnMetric
from steelyard.records.base import digest
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.data import Prepared
from steelyard.records.machine import Machine
from steelyard.records.measurement import Quality
from steelyard.records.model import ModelInfo
from steelyard.records.subject import Answers, Outlook, Recipe, Split, Step, Task
from steelyard.runtimes import RUNTIMES, distribution
from steelyard.subjects.building import packages_of, placed, steps, versions_of
from steelyard.subjects.origins import Origin, origins
from steelyard.subjects.outlook import outlook
from steelyard.subjects.space import space

PROTOCOL = 3
"""Raised when the way of measuring changes, so that older measurements are not mixed with newer ones."""
WRONG_BY_ONE = 2.0
"""Labels shifted by one that make the reference this many times better are taken for a mistake."""


class ModelSubject:
    """A checked model file and prepared data; see `records.subject.Subject`."""

    def __init__(
        self,
        info: ModelInfo,
        data: Prepared,
        metric_name: str,
        machine: Machine,
        patient: bool = True,
        output: str | None = None,
        others: Mapping[str, ModelInfo] | None = None,
    ) -> None:
        """`others`: models of the same interface that were given as variants, by name."""
        self.info = msgspec.structs.replace(info, alone=data.alone)
        self.others = dict(others or {})
        self.data = data
        self.machine = machine
        self._patient = patient
        self._output = None if output is None else _place_of(output, info)
        self._steps_of: dict[str, tuple[Step, ...]] = {}
        self.metric = metric(metric_name, data.classes)
        if self.metric.targets in ("classes", "numbers") and data.labels is None:
            raise DataError(
                f"the metric '{metric_name}' needs labels, and the data has none",
                "name the labels (--labels), or use --metric agreement",
            )
        if self.metric.targets == "classes" and data.labels is not None and data.labels.dtype.startswith("float"):
            raise DataError(
                f"the metric '{metric_name}' needs class numbers, and the labels are not all whole",
                "labels are the numbers of the classes, from 0; for measured values choose --metric mse, mae or r2",
            )

    @property
    def name(self) -> str:
        """The model's file name."""
        return Path(self.info.path).stem

    @cached_property
    def key(self) -> str:
        """Model, data, metric; of a metric of the user's own also its source."""
        source = self.metric.source_hash if isinstance(self.metric, OwnMetric) else ""
        return digest(PROTOCOL, self.info.sha256, self.data.sha256, self.metric.name, source, self._output)

    @property
    def split(self) -> Split:
        """The items that judge."""
        return Split(select=self.data.items_select, confirm=self.data.items_confirm)

    @cached_property
    def labels(self) -> Answers | None:
        """Class numbers, or measured values, of the items that judge."""
        file = self.data.labels
        total = self.split.total
        return None if file is None else read_rows(Path(self.data.folder) / file.file, 0, total)

    @cached_property
    def _candidates(self) -> tuple[Candidate, ...]:
        found = [self._reference(), *space(self.info, self.machine, self._patient, self.others)]
        return tuple({candidate.id: candidate for candidate in found}.values())

    def candidates(self) -> tuple[Candidate, ...]:
        """All that can be tried on this machine, the reference first."""
        return self._candidates

    def _reference(self) -> Candidate:
        """The model as given, on all cores, one request at a time."""
        runtime = "onnxruntime" if self.info.format == "onnx" else "openvino"
        batch = self.info.fixed_batch or 1
        return Candidate(variant="original", runtime=runtime, threads=self.machine.cores, max_batch=batch)

    def recipe(self, candidate: Candidate) -> Recipe:
        """How a child builds and opens it."""
        *before, last = self._steps(candidate.variant)
        return Recipe(build=last.task, build_key=last.key, open=self.opening(candidate), before=tuple(before))

    @cached_property
    def _origins(self) -> dict[str, Origin]:
        return {origin.name: origin for origin in origins(self.info, self.others)}

    def _steps(self, variant: str) -> tuple[Step, ...]:
        """Found once: a search asks again and again, and to look up the versions of packages takes a while."""
        if variant not in self._steps_of:
            _, spec, source = self._origins[variant]
            self._steps_of[variant] = steps(spec.name, source, self.data, self.machine)
        return self._steps_of[variant]

    def opening(self, candidate: Candidate) -> Task:
        """How a child opens it, once its artefacts are there."""
        argument = {
            "candidate": candidate,
            "metric": self.metric.name,
            "classes": self.data.classes,
            "output": self._output,
            "inputs": placed(self.data, self.data.judging),
            "items": self.split.total,
            "fixed_batch": self.info.fixed_batch,
            "pad": self.data.pad,
        }
        return Task(function="steelyard.subjects.model_child:open_runner", argument=argument)

    def judge(self, numerics: Numerics, answers: Answers, reference: Answers, start: int) -> Quality:
        """The metric on these answers, paired with the reference's on the same items."""
        truth = None if self.labels is None else self.labels[start : start + len(answers)]
        own = numerics == self._candidates[0].numerics
        if own and truth is not None and start == 0:
            self._check_labels(answers, truth)
        return judge(self.metric, answers, reference, truth, start, own=own)

    def _check_labels(self, answers: Answers, truth: Answers) -> None:
        """Refuse labels that fit the reference far better when they are all moved by one."""
        if not checks_counting(self.metric) or truth.dtype.kind not in "iu":
            return
        value = self.metric.value(answers, truth)
        for offset in (-1, 1):
            moved = self.metric.value(answers, truth + offset)
            if len(truth) >= 20 and moved > 0.3 and moved > WRONG_BY_ONE * value:
                raise DataError(
                    f"the reference's {self.metric.name} is {value:.3f} with these labels and {moved:.3f} "
                    f"with all of them moved by {offset:+d}: they seem to count from another number than the model",
                    f"add --label-offset {offset:+d}, or correct the labels",
                )

    def versions(self, candidate: Candidate) -> Mapping[str, str]:
        """Packages that make and run it, and the way of measuring."""
        spec = self._origins[candidate.variant].spec
        packages = (*packages_of(spec.name), distribution(RUNTIMES[candidate.runtime]), "numpy")
        build = self.recipe(candidate).build_key
        return versions_of(packages) | {"protocol": str(PROTOCOL), "build": build}

    def outlook(self, candidate: Candidate) -> Outlook:
        """What experience with other models says of it."""
        return outlook(candidate, self._origins[candidate.variant], self.info, self.machine)


def _place_of(output: str, info: ModelInfo) -> int:
    """Which of the model's outputs is called so."""
    names = [tensor.name for tensor in info.outputs]
    if output not in names:
        raise UsageError(f"the model has no output {output!r}", f"it has {', '.join(names)}")
    return names.index(output)


def checks_counting(judged_by: Metric) -> bool:
    """Whether labels moved by one would show in it: the mean over classes, not one class alone."""
    return judged_by.targets == "classes" and ":" not in judged_by.name
