"""The strategy that drops nothing: every candidate is measured to the end, in the subject's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steelyard.search.known import Known, Step
from steelyard.search.settling import UP


class Exhaustive:
    """See `known.Strategy`."""

    def next(self, known: Known) -> Step | None:
        """The first step that is not made yet and fits into the time."""
        return next((step for step in _left(known) if known.seconds(step) <= known.left_s), None)

    def wants_more(self, known: Known) -> bool:
        """Whether only the time keeps it from measuring more."""
        return next(_left(known), None) is not None

    def reasons(self, known: Known) -> Mapping[str, str]:
        """Failures, and that the time was up."""
        told = {}
        for standing in known.standings[1:]:
            failure = known.failure(standing)
            if failure is not None:
                told[standing.candidate.id] = f"{failure.kind}: {failure.message}"
            elif known.is_open(standing) or standing.candidate.id in known.late:
                told[standing.candidate.id] = UP.format(stage="turn")
        return told


def _left(known: Known) -> Iterator[Step]:
    """Steps that are not made; quality on all items whatever the first ones told."""
    for standing in known.standings[1:]:
        if known.failure(standing) or standing.candidate.id in known.late:
            continue
        for step in known.open_steps(standing):
            yield step if step.kind != "quality" else step._replace(items=known.looks[-1])
        selected = standing.evidence.selected
        if selected is not None and selected.items < known.looks[-1]:
            yield Step("quality", standing.candidate, known.looks[-1])
        if known.reference.split.confirm and standing.evidence.confirmed is None:
            yield Step("confirm", standing.candidate)
