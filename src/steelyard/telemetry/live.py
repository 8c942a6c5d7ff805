"""The live page: what is served now, and why so. Rendered here; the browser fetches nothing from elsewhere."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.protocol.reply import Header, HttpFailure, Reply, json_reply, reply
from steelyard.records.base import Record
from steelyard.serve.recent import Decision
from steelyard.serve.repository import Indexed, Repository
from steelyard.serve.served import ServedModel
from steelyard.telemetry import figures
from steelyard.telemetry.canaries import Line, canary_lines
from steelyard.telemetry.history import PERCENTILES, RECENT_POINTS, History, Point, together

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
ASSETS: Mapping[str, bytes] = {
    "live.css": b"text/css; charset=utf-8",
    "live.js": b"text/javascript; charset=utf-8",
    "charts.js": b"text/javascript; charset=utf-8",
    "htmx.min.js": b"text/javascript; charset=utf-8",
    "uPlot.iife.min.js": b"text/javascript; charset=utf-8",
    "uPlot.min.css": b"text/css; charset=utf-8",
}
"""All files that are given out, by name."""
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE: tuple[Header, ...] = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
FRESH: tuple[Header, ...] = (*SAFE, (b"cache-control", b"no-store"))
HTML = b"text/html; charset=utf-8"
LATELY_POINTS = 60
DECISIONS = 12

Page = Callable[[Mapping[str, str]], Reply]


class Tile(Record):
    """One figure."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    broken: bool | None = None
    """Whether a promise is; None: nothing was promised of it."""


class Shown(Record):
    """One model on the page."""

    name: str
    index: int
    version: str
    state: str
    reason: str
    tiles: tuple[Tile, ...]
    canary: tuple[Line, ...]
    decisions: tuple[dict[str, Any], ...]


def live_pages(repository: Repository, history: History) -> dict[tuple[str, str], Page]:
    """The page, what it polls, and its files; by method and path."""
    return _Live(repository, history).pages()


class _Live:
    def __init__(self, repository: Repository, history: History) -> None:
        self._repository = repository
        self._history = history
        self._assets = {name: (HERE / "assets" / name).read_bytes() for name in ASSETS}
        self._templates = _templates()
        self._stamp = hashlib.sha256(b"".join(self._assets.values())).hexdigest()[:12]

    def pages(self) -> dict[tuple[str, str], Page]:
        pages: dict[tuple[str, str], Page] = {
            ("GET", "/live"): lambda _: self._rendered("live.html"),
            ("GET", "/live/now"): lambda _: self._rendered("now.html"),
            ("GET", "/live/series"): self._series,
        }
        return pages | {("GET", f"/live/assets/{name}"): self._asset(name) for name in ASSETS}

    def _asset(self, name: str) -> Page:
        # The page names its files with a stamp, so that a browser never mixes those of two releases.
        kept = (*SAFE, (b"cache-control", b"public, max-age=86400, immutable"))
        found = reply(self._assets[name], ASSETS[name], more=kept)
        return lambda _: found

    def _rendered(self, template: str) -> Reply:
        names = self._repository.names()
        models = [self._shown(index, self._repository.standing(name)) for index, name in enumerate(names)]
        context = {"server": self._repository, "models": models, "stamp": self._stamp}
        text = self._templates.get_template(template).render(context)
        return reply(text.encode(), HTML, more=FRESH)

    def _shown(self, index: int, told: Indexed) -> Shown:
        slot = self._repository.slot(told.name)
        models = slot.models()
        return Shown(
            name=told.name,
            index=index,
            version=told.version,
            state=told.state,
            reason=told.reason,
            tiles=tiles(models, self._history.points(told.name)) if models else (),
            canary=canary_lines(slot),
            decisions=tuple(decisions(models)),
        )

    def _series(self, query: Mapping[str, str]) -> Reply:
        since = _number(query.get("since", "0"))
        models = [self._drawn(name, since) for name in self._repository.names()]
        return json_reply({"run": f"{self._history.began:.3f}", "models": models}, more=FRESH)

    def _drawn(self, name: str, since: float) -> dict[str, Any]:
        models = self._repository.slot(name).models()
        points = self._history.points(name)
        model = models[0] if models else None
        variants = dict.fromkeys([one.variant for each in models for one in each.residents])
        variants |= dict.fromkeys(name for point in points for name in point.items)
        bound_ms = math.inf if model is None else model.promise.bound_s * 1000
        return {
            "name": name,
            "variants": list(variants),
            "bound": bound_ms if bound_ms < math.inf else None,
            "best": best_quality(model) if model else None,
            "columns": columns(points, since, list(variants)),
        }


def tiles(models: Sequence[ServedModel], points: Sequence[Point]) -> tuple[Tile, ...]:
    """The figures of one model: of all versions that answer together; what was promised is the first one's promise."""
    model = models[0]
    latest = points[-1] if points else None
    seconds, minute = together(points[-RECENT_POINTS:]), together(points[-LATELY_POINTS:])
    return (
        Tile(label="Answered", value=figures.significant(seconds.rate), unit="/s", note="over 10 s"),
        *_latency_tiles(model, latest.latency_ms if latest else ()),
        _late_tile(model, minute.violation_ratio),
        Tile(
            label="Quality",
            value=figures.significant(minute.quality),
            note=f"best {figures.significant(best_quality(model))}, over a minute",
        ),
        _cost_tile(model, minute.cost),
        Tile(
            label="Waiting",
            value=f"{sum(each.waiting for each in models):,}",
            note=f"{sum(each.workers for each in models)} served side by side",
        ),
    )


def _latency_tiles(model: ServedModel, latency_ms: Sequence[float]) -> list[Tile]:
    promise = model.promise
    bound = "" if promise.bound_s == math.inf else f"bound {' '.join(figures.milliseconds(promise.bound_s * 1000))}"
    told = []
    for percentile, value in zip(PERCENTILES, latency_ms or (None,) * len(PERCENTILES), strict=True):
        number, unit = figures.milliseconds(value)
        promised = bool(bound) and percentile == promise.percentile and value is not None
        broken = value is not None and value > promise.bound_s * 1000 if promised else None
        told.append(Tile(label=f"p{percentile}", value=number, unit=unit, note=bound, broken=broken))
    return told


def _late_tile(model: ServedModel, ratio: float | None) -> Tile:
    percentile = model.promise.percentile
    allowed = None if percentile is None else 1 - percentile / 100
    note = "of all requests, over a minute" if allowed is None else f"allowed {figures.percent(round(allowed, 9))}%"
    broken = None if ratio is None or allowed is None else ratio > allowed
    unit = "" if ratio is None else "%"
    return Tile(label="Late or lost", value=figures.percent(ratio), unit=unit, note=note, broken=broken)


def _cost_tile(model: ServedModel, cost: float | None) -> Tile:
    note = ", ".join(filter(None, (model.promise.currency, "over a minute")))
    return Tile(label="Cost per thousand", value=figures.significant(cost), note=note)


def best_quality(model: ServedModel) -> float:
    """Of the resident variants."""
    qualities = [one.quality for one in model.residents]
    return min(qualities) if model.promise.lower_is_better else max(qualities)


def decisions(models: Sequence[ServedModel]) -> list[dict[str, Any]]:
    """What the controllers chose lately, newest first; where several versions answer, with the version."""
    told = [(one, model) for model in models for one in model.recent.decisions(DECISIONS)]
    told.sort(key=lambda pair: pair[0].ago_s)
    return [_decided(one, model, len(models) > 1) for one, model in told[:DECISIONS]]


def _decided(one: Decision, model: ServedModel, of_several: bool) -> dict[str, Any]:
    return {
        "ago": figures.ago(one.ago_s),
        "variant": model.residents[one.rung].variant,
        "version": model.version if of_several else "",
        "batches": f"{one.batches:,}",
        "one": one.batches == 1,
        "sizes": f"{one.smallest}" if one.smallest == one.largest else f"{one.smallest}–{one.largest}",
        "why": one.why,
    }


def columns(points: Sequence[Point], since: float, variants: Sequence[str]) -> dict[str, Any]:
    """What the charts draw of the points after `since`, column by column; null where there is nothing to draw."""
    drawn = [place for place, point in enumerate(points) if point.at > since]
    new = [points[place] for place in drawn]
    recent = [together(points[max(0, place + 1 - RECENT_POINTS) : place + 1]) for place in drawn]
    latencies = [point.latency_ms or (None,) * len(PERCENTILES) for point in new]
    return {
        "at": [point.at for point in new],
        "answered": [_rate(point.answered, point) for point in new],
        "lost": [_rate(point.asked - point.answered, point) for point in new],
        "latency": [[one[place] for one in latencies] for place in range(len(PERCENTILES))],
        "late": [_percent(window.violation_ratio) for window in recent],
        "quality": [window.quality for window in recent],
        "waiting": [point.waiting for point in new],
        "batch": [sum(point.items.values()) / point.batches if point.batches else None for point in new],
        "share": [[_percent(window.share(name)) for window in recent] for name in variants],
    }


def _rate(count: int, point: Point) -> float:
    return count / point.seconds if point.seconds > 0 else 0.0


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HttpFailure(400, "'since' is not a number of seconds")
    return value


def _templates() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
