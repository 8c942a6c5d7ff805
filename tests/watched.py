"""Served models whose seconds a test makes up: what was answered, how fast, by which variant, and why."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from steelyard.records.engine import Array
from steelyard.records.model import TensorInfo
from steelyard.records.signature import Signature
from steelyard.scheduling import Single, profile_of
from steelyard.serve.canary import AT_ONCE, Terms, Trial
from steelyard.serve.opening import Options
from steelyard.serve.parts import Row
from steelyard.serve.repository import Repository
from steelyard.serve.requests import Metadata
from steelyard.serve.served import Promise, Resident, ServedModel
from steelyard.telemetry.history import History

BOUND_S = 0.05
VARIANTS = (("original", 0.91, 4.0), ("int8-nncf", 0.9, 2.0), ("distilled", 0.85, 1.0))
SIGNATURE = Signature(
    inputs=(TensorInfo(name="x", dtype="float32", shape=(None, 1)),),
    outputs=(TensorInfo(name="y", dtype="float32", shape=(None, 1)),),
)


class Echo:
    """Answers with what it is given."""

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        return [inputs["x"]]


class Made:
    """A server with models that answer what the test says they did."""

    def __init__(
        self, *names: str, promise: Promise | None = None, priced: bool = True, canary: Terms = AT_ONCE
    ) -> None:
        self.promise = promise or Promise(BOUND_S, 95)
        self.priced = priced
        self.missing = 0
        self.now = 1000.0
        folders = {name: Path(name) for name in names or ("digits",)}
        self.repository = Repository(folders, Options(canary=canary), self._opened)
        for name in folders:
            self.repository.load(name)
        self.history = History(self.repository, clock=lambda: self.now)
        self.history.look()

    def _opened(self, name: str, folder: Path, version: int, options: Options) -> ServedModel:
        metadata = Metadata(
            name=name, versions=(str(version),), platform="test", inputs=(), outputs=(), max_batch_size=8
        )
        residents = [
            Resident(variant, f"{variant}.test", quality, cost if self.priced else None, Echo(), missing=self._lacks)
            for variant, quality, cost in VARIANTS
        ]
        policy = Single(profile_of([1e-6] * 8))
        return ServedModel(metadata, SIGNATURE, residents, policy, 2, self.promise, 10_000)

    def _lacks(self) -> int:
        return self.missing

    def model(self, name: str = "digits") -> ServedModel:
        """What answers under this name."""
        model = self.repository.slot(name).model
        assert model is not None
        return model

    def canary(self, name: str = "digits") -> Trial:
        """What is tried beside it."""
        trial = self.repository.slot(name).trial
        assert trial is not None
        return trial

    def batch(
        self, rung: int, took_s: Sequence[float], why: str = "", name: str = "digits", of: ServedModel | None = None
    ) -> None:
        """A batch of so many requests was answered: by the version that answers, unless another is told."""
        model = of or self.model(name)
        for each in took_s:
            model.statistics.answered(each / 4, each)
        model.statistics.batch(VARIANTS[rung][0], len(took_s), 0.0001, max(took_s) / 2, 0.0)
        model.recent.note(rung, len(took_s), why)

    def compared(self, rung: int, disagrees: bool, name: str = "digits") -> None:
        """An item that this rung answered was answered by the best one as well."""
        scores = np.eye(2, dtype=np.float32)
        answered = Row([scores[:1]], 0, VARIANTS[rung][0])
        self.model(name).shadow.compare(answered, Row([scores[1:] if disagrees else scores[:1]], 0, VARIANTS[0][0]))

    def second(self) -> None:
        """A second went by."""
        self.now += 1.0
        self.history.look()

    def busy(self, seconds: int, name: str = "digits", seed: int = 0) -> None:
        """Ordinary seconds, with a crowd in the middle that the cheap variants answer."""
        chance = random.Random(seed)
        for at in range(seconds):
            crowd = 0.4 < at / seconds < 0.6
            for _ in range(12 if crowd else 5):
                rung = chance.choice((1, 1, 2) if crowd else (0, 0, 0, 0, 1))
                slack = chance.uniform(4, 40)
                why = (
                    f"{'12 wait' if crowd else 'all wait'}: {VARIANTS[rung][0]} is done {slack:.1f} ms before the bound"
                )
                spread = 0.012 if crowd else 0.006
                took = [0.004 + chance.expovariate(1 / spread) for _ in range(chance.randint(2, 8))]
                self.batch(rung, took, why, name)
            if crowd and chance.random() < 0.3:
                self.model(name).statistics.refused()
            self.second()

    def close(self) -> None:
        """Let go of the models."""
        self.history.close()
        self.repository.close()
