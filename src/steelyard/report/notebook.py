"""The report inside a notebook."""

from __future__ import annotations

from steelyard.records.plan import Plan
from steelyard.report import headline, page, table

HEIGHT = 720
"""Of the frame, in CSS pixels; the page scrolls inside it."""


def fragment(plan: Plan) -> str:
    """HTML for `_repr_html_`: the page in a sandboxed frame, then a plain table for places that strip frames."""
    template = page.templates().get_template("notebook.html")
    return template.render(
        plan=plan,
        page=page.render(plan),
        height=HEIGHT,
        tiles=headline.tiles(plan),
        columns=table.columns(plan),
        rows=table.rows(plan),
    )
