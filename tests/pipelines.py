"""A subject that is no model: a pipeline of knobs whose runners sleep and err as told. Its truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steelyard.records.base import digest
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.measurement import Paired, Quality
from steelyard.records.subject import Answers, Outlook, Recipe, Split, Task


@dataclass
class Pipelines:
    """`knobs` maps a variant's name to the argument of its runner; the first is the reference."""

    knobs: Mapping[str, Mapping[str, Any]]
    split: Split = field(default_factory=lambda: Split(select=400, confirm=800))
    max_batch: int = 4
    name: str = "a camera site"

    @property
    def key(self) -> str:
        return digest({name: dict(argument) for name, argument in self.knobs.items()}, self.split)

    def candidates(self) -> Sequence[Candidate]:
        return [
            Candidate(variant=name, runtime="pipeline", max_batch=1 if place == 0 else self.max_batch)
            for place, name in enumerate(self.knobs)
        ]

    def recipe(self, candidate: Candidate) -> Recipe:
        argument = dict(self.knobs[candidate.variant])
        function = argument.pop("open", "open_plain")
        build = argument.pop("build", None)
        return Recipe(
            build=None if build is None else Task(function=f"misbehaving:{build}", argument=argument),
            build_key=digest(candidate.variant),
            open=Task(function=f"misbehaving:{function}", argument=argument),
        )

    def judge(self, numerics: Numerics, answers: Answers, reference: Answers, start: int) -> Quality:
        truth = np.arange(start, start + len(answers)) % 10
        own, theirs = answers == truth, reference == truth
        return Quality(
            metric="accuracy",
            start=start,
            items=len(answers),
            value=float(own.mean()),
            reference=float(theirs.mean()),
            paired=Paired(
                both=int((own & theirs).sum()),
                only_reference=int((~own & theirs).sum()),
                only_candidate=int((own & ~theirs).sum()),
                neither=int((~own & ~theirs).sum()),
            ),
            identical=numerics == self.candidates()[0].numerics,
        )

    def versions(self, candidate: Candidate) -> Mapping[str, str]:
        return {"pipeline": "1"}

    def outlook(self, candidate: Candidate) -> Outlook:
        return Outlook(speed=self.knobs[candidate.variant].get("expected", 1.0))
