"""Runs of load for the terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from steelyard import numbers
from steelyard.records.load_report import FoundReport, LoadReport, Tail

BAR = 40
EIGHTHS = " ▏▎▍▌▋▊▉"
COLOURS = {"pass": "green", "fail": "red", "undecided": "yellow"}
PERCENTILES = (("p50", "p50"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"), ("p99.9", "p99_9"), ("max", "max"))


def show_report(console: Console, report: LoadReport) -> None:
    """The verdict, and all that was seen."""
    if report.verdict is not None:
        console.print(Panel(Text(judged(report)), border_style=COLOURS[report.verdict], title=report.verdict))
    _show_seen(console, report)


def _show_seen(console: Console, report: LoadReport) -> None:
    """The latencies as numbers and as a picture, what failed, and what to know of the client."""
    console.print(_what(report), highlight=False)
    console.print(_latencies(report))
    if report.histogram:
        console.print(_picture(report))
    if report.failed:
        console.print(_failures(report))
    if report.variants:
        console.print(_variants(report), highlight=False)
    _show_warnings(console, report.warnings)
    if report.interrupted:
        _show_warnings(console, ("stopped early: this is what was seen until then",))


def judged(report: LoadReport) -> str:
    """The verdict in a sentence."""
    requirement, late = report.requirement, report.late
    if requirement is None or late is None:
        return ""
    allowed = numbers.stated_percent(1 - requirement.percentile / 100)
    share = numbers.percent(late / report.requests)
    seen = (
        f"{numbers.count(late)} of {numbers.count(report.requests)} requests ({share}) "
        f"took longer than {numbers.stated_ms(requirement.bound_ms)} or failed; {allowed} may."
    )
    if report.verdict != "undecided":
        kept = "is kept" if report.verdict == "pass" else "is broken"
        return f"p{requirement.percentile:g} {kept} at {numbers.rate(report.rate_sent_per_s)}: {seen}"
    if report.requests_needed is None:
        return f"{seen} It cannot be told: the share is too near to what may be, or the client was late itself."
    return f"{seen} About {numbers.count(report.requests_needed)} requests would settle it: take a longer --for."


def _what(report: LoadReport) -> Text:
    version = f" version {report.model_version}" if report.model_version else ""
    items = f", {report.items} items each" if report.items > 1 else ""
    sent, answered = numbers.rate(report.rate_sent_per_s), numbers.rate(report.answered_per_s)
    return Text(
        f"{report.target} {report.model}{version}: {numbers.count(report.requests)} requests "
        f"({report.encoding}{items}) in {numbers.seconds(report.seconds)}, {report.arrivals}. "
        f"Asked for {numbers.rate(report.rate_asked_per_s)}, sent {sent}, answered {answered}.",
        style="dim",
    )


def _latencies(report: LoadReport) -> RenderableType:
    """One column for all requests, and others where they tell something else."""
    columns: list[tuple[str, Tail]] = [("latency", report.latency)]
    if report.failed:
        columns.append(("of those answered", report.latency_answered))
    if report.client.waited:
        columns.append(("once it was sent", report.latency_once_sent))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name, _ in columns:
        table.add_column(name, justify="right")
    for shown, name in PERCENTILES:
        table.add_row(shown, *(_told(getattr(tail, name)) for _, tail in columns))
    return Group(table, Text(""))


def _told(value: float | None) -> str:
    return "never" if value is None else numbers.duration_ms(value)


def _picture(report: LoadReport) -> RenderableType:
    """A bar for each stretch of latencies; those beyond the bound in red."""
    most = max(one.count for one in report.histogram)
    bound = report.requirement.bound_ms if report.requirement else float("inf")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", style="dim")
    table.add_column()
    table.add_column(justify="right")
    for one in report.histogram:
        colour = "red" if one.from_ms >= bound else "cyan"
        table.add_row(f"≤ {numbers.duration_ms(one.to_ms)}", Text(bar(one.count / most), colour), f"{one.count:,}")
    return Group(table, Text(""))


def bar(share: float) -> str:
    """A bar as long as the share, to an eighth of a letter; never empty for what is not zero."""
    eighths = max(round(share * BAR * 8), 1 if share > 0 else 0)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


def _failures(report: LoadReport) -> RenderableType:
    lines = [Text("failed", style="bold red")]
    for kind, count in sorted(report.failed.items(), key=lambda one: -one[1]):
        told = report.errors.get(kind, "")
        lines.append(Text(f"  {numbers.count(count)} × {kind}" + (f": {told}" if told else "")))
    return Group(*lines, Text(""))


def _variants(report: LoadReport) -> Text:
    by_share = sorted(report.variants.items(), key=lambda one: -one[1])
    return Text("answered by " + ", ".join(f"{name} {numbers.percent(share)}" for name, share in by_share))


def show_found(console: Console, found: FoundReport) -> None:
    """The highest rate that held, and all that were tried."""
    console.print(Panel(Text(answer(found)), border_style="green" if found.held_per_s else "red", title="find"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("rate", "requests", "late", "p50", "p99", "answered", ""):
        table.add_column(heading, justify="right")
    for one in found.tries:
        late = numbers.percent(one.late / one.requests)
        verdict = Text(one.verdict, COLOURS[one.verdict])
        answered = numbers.rate(one.answered_per_s)
        rate, count = numbers.rate(one.rate_per_s), numbers.count(one.requests)
        table.add_row(rate, count, late, _told(one.p50), _told(one.p99), answered, verdict)
    console.print(Group(table, Text("")))
    if found.held is not None:
        _show_seen(console, found.held)
    _show_warnings(console, found.warnings)


def answer(found: FoundReport) -> str:
    """What was found, in a sentence."""
    bound = f"p{found.requirement.percentile:g} ≤ {numbers.stated_ms(found.requirement.bound_ms)}"
    early = " The search was stopped early." if found.interrupted else ""
    if not found.held_per_s:
        return f"No rate that was tried keeps {bound}.{early}"
    above = f"; {numbers.rate(found.failed_per_s)} did not hold" if found.failed_per_s else ""
    return f"{numbers.rate(found.held_per_s)} keeps {bound}{above}.{early}"


def _show_warnings(console: Console, warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        console.print(Text.assemble(("note ", "yellow"), warning))
