"""The report as one HTML file that needs nothing else: styles, scripts and data are inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from steelyard import numbers
from steelyard.errors import InputError
from steelyard.records.plan import Plan
from steelyard.report import curves, headline, proof, rungs, scatter, table, wording

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent


def render(plan: Plan) -> str:
    """The whole page. Names and sentences of the plan are escaped wherever they stand; nothing is fetched."""
    return templates().get_template("page.html").render(_context(plan))


def write(plan: Plan, path: Path) -> None:
    """Write the page to a file (UTF-8). Raises InputError when that cannot be written."""
    try:
        path.write_text(render(plan), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the report cannot be written to {path}: {error.strerror}",
            "name a file in a folder that exists and that you may write to",
        ) from error


def templates() -> jinja2.Environment:
    """The templates of the report; whatever they insert is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `tojson` escapes <, > and & for use inside a script element; NaN is no JSON.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    return environment


def _context(plan: Plan) -> dict[str, Any]:
    leading = headline.leading(plan)
    charts = {"cost": scatter.cost_scatter(plan), "latency": scatter.latency_scatter(plan)}
    drawn = {**charts, "distribution": curves.distribution(plan), "service": curves.service(plan)}
    return {
        "plan": plan,
        "status": headline.STATUS[plan.status],
        "leading": leading,
        "spelt": headline.spelt(leading.candidate) if leading else "",
        "tiles": headline.tiles(plan),
        "drawing": msgspec.to_builtins(drawn),
        "below": {key: [mark.title for mark in chart.marks if mark.below] for key, chart in charts.items()},
        "legend": _legend(charts["latency"]),
        "confidence": numbers.stated_percent(plan.requirements.confidence),
        "latency_source": f"The latencies are {plan.reference.latency.source}.",
        "rungs": rungs.rungs(plan),
        "rungs_title": rungs.TITLE,
        "rungs_how": rungs.HOW,
        "columns": table.columns(plan),
        "rows": table.rows(plan),
        "outcomes": table.outcomes(plan),
        "facts": proof.sections(plan),
        "created": proof.moment(plan.created),
        "chart_js": _chart_js(),
    }


def _legend(chart: scatter.Scatter) -> list[tuple[str, str]]:
    """Each shape that the charts use, with what it means."""
    present = {mark.role for mark in chart.marks}
    meanings = [*wording.MEANING.items(), ("reference", "the subject as it was given")]
    return [(role, meaning) for role, meaning in meanings if role in present]


def _chart_js() -> str:
    """Chart.js without the pointer to its source map, which a browser's developer tools would try to fetch."""
    source = (HERE / "assets" / "chart.umd.js").read_text(encoding="utf-8")
    return source.partition("\n//# sourceMappingURL=")[0]
