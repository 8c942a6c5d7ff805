"""Plans, checks and examinations for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from steelyard import numbers
from steelyard.decision import amounts
from steelyard.ladder import figures_of
from steelyard.loop import Balance, Check
from steelyard.machines.doctor import Examination
from steelyard.records.plan import Chosen, Cost, Figures, Plan, Weighed
from steelyard.report import wording

COLOURS = {
    "chosen": "bold green",
    "front": "green",
    "dominated": "",
    "fails": "red",
    "undecided": "yellow",
    "failed": "red",
    "not measured": "dim",
}
RUNNERS_UP = 12


def show_balance(console: Console, balance: Balance) -> None:
    """The plan and where its bundle is."""
    show_plan(console, balance.plan)
    for notice in balance.notices:
        console.print(f"[yellow]note[/yellow] {notice}")
    console.print(f"bundle  {balance.bundle}\nreport  {balance.bundle / 'report.html'}", highlight=False)


def show_plan(console: Console, plan: Plan) -> None:
    """The decision, the reference beside it, and why the others lost."""
    colour = {"met": "green", "infeasible": "red", "undecided": "yellow"}[plan.status]
    console.print(Panel(Text(plan.summary), border_style=colour, title=f"{plan.subject.name}: {plan.status}"))
    console.print(_judged(plan), highlight=False)
    console.print(_side_by_side(plan))
    if plan.machines:
        console.print(_machines(plan))
    if plan.sensitivity:
        console.print(_sensitivity(plan))
    if len(plan.ladder) > 1:
        console.print(_ladder(plan))
    if plan.status != "met":
        console.print(_infeasible(plan))
    console.print(_others(plan))
    for warning in (*plan.subject.told, *plan.warnings):
        console.print(f"[yellow]note[/yellow] {warning}", highlight=False)


def _ladder(plan: Plan) -> Text:
    """Which variants answer when the plan is served."""
    names = ", ".join(figures.candidate.variant for figures in figures_of(plan))
    return Text(f"a server may switch between {names}: the most accurate that the load permits answers\n")


def _judged(plan: Plan) -> Text:
    subject = plan.subject
    return Text(
        f"judged by {subject.data}: {numbers.count(subject.items_select)} items selected, "
        f"{numbers.count(subject.items_confirm)} others confirmed, {numbers.count(subject.items_calibrate)} "
        f"only calibrated. Measured on {plan.machine.cpu}, {plan.machine.cores} cores; priced as {plan.price.machine}"
        f"{' at the spot price' if plan.price.spot else ''}.",
        style="dim",
    )


def _side_by_side(plan: Plan) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    told = [figures for figures in (plan.chosen_figures, plan.reference) if figures]
    for figures in told:
        table.add_column("reference" if figures is plan.reference else "chosen", justify="right")
    table.add_column("gain", justify="right")
    for name, values, gain in _rows(plan, told):
        table.add_row(name, *values, gain)
    return Group(table, Text(""))


def _rows(plan: Plan, told: list[Figures]) -> Iterator[tuple[str, list[str], str]]:
    gain = plan.gain
    metric = plan.subject.metric
    yield "variant", [f.candidate.variant for f in told], ""
    yield "runtime", [f"{f.candidate.runtime} {f.candidate.precision}" for f in told], ""
    yield "threads × streams", [_split(f.candidate) for f in told], ""
    yield "largest batch", [str(f.candidate.max_batch) for f in told], ""
    yield metric, [wording.quality(metric, f.quality.value) for f in told], _quality_gain(plan)
    speed = numbers.times(gain.speed) if gain and gain.speed else ""
    yield "capacity/replica", [numbers.rate(f.capacity_per_replica) for f in told], speed
    for name in ("p50", "p95", "p99"):
        yield f"latency {name}", [numbers.duration_ms(getattr(f.latency, name)) for f in told], ""
    yield "cost per million", [_per_million(f) for f in told], numbers.times(gain.cost) if gain and gain.cost else ""
    if plan.requirements.rate_per_s is not None:
        yield "… at the rate", [_at_rate(f) for f in told], ""
        yield "replicas", [_replicas(f) for f in told], ""
        yield "cost per month", [_per_month(f) for f in told], ""
        yield "… of it idle", [_idle(f) for f in told], ""
    if any(f.energy for f in told):
        yield "energy per million", [wording.energy(f.energy) for f in told], _energy_gain(told)
    yield "memory", [numbers.megabytes(f.memory_mb) for f in told], ""


def _split(candidate: Chosen) -> str:
    """Threads of a stream × streams, and in how many processes if there are several."""
    processes = f" × {candidate.instances} processes" if candidate.instances > 1 else ""
    return f"{candidate.threads} × {candidate.streams}{processes}"


def _quality_gain(plan: Plan) -> str:
    quality = plan.quality
    if quality is None:
        return ""
    lower = quality.lower_is_better
    most = amounts.at_most(quality.metric, quality.bound, lower_is_better=lower)
    return f"{amounts.change(quality.metric, quality.drop, lower_is_better=lower)} ({most})"


def _per_million(figures: Figures) -> str:
    return _money(figures.cost)


def _per_month(figures: Figures) -> str:
    cost = figures.cost
    return "–" if cost.per_month is None else numbers.money(cost.per_month, cost.currency)


def _at_rate(figures: Figures) -> str:
    cost = figures.cost
    return "–" if cost.per_million_at_rate is None else numbers.money(cost.per_million_at_rate, cost.currency)


def _replicas(figures: Figures) -> str:
    spare = f" ({figures.cost.spare} spare)" if figures.cost.spare else ""
    return "–" if figures.replicas is None else f"{numbers.count(figures.replicas)}{spare}"


def _idle(figures: Figures) -> str:
    cost = figures.cost
    if cost.idle_per_month is None or cost.utilisation is None:
        return "–"
    return f"{numbers.money(cost.idle_per_month, cost.currency)} ({numbers.percent(1 - cost.utilisation)})"


def _energy_gain(told: list[Figures]) -> str:
    watt_hours = [f.energy.wh_per_million for f in told if f.energy]
    return numbers.times(watt_hours[1] / watt_hours[0]) if len(watt_hours) == 2 and watt_hours[0] else ""


def _machines(plan: Plan) -> RenderableType:
    table = Table(title="the machines", title_justify="left", header_style="bold", pad_edge=False, box=None)
    for heading in ("machine", "an hour", "reference/replica", "best there", "per million"):
        table.add_column(heading, overflow="fold")
    for one in plan.machines:
        price = f"{numbers.stated(one.price.per_hour)} {one.price.currency}"
        cost = "–" if one.cost is None else _money(one.cost)
        table.add_row(one.name, price, numbers.rate(one.reference_capacity), one.best or "none keeps everything", cost)
    return Group(table, Text(""))


def _money(cost: Cost) -> str:
    return "–" if cost.per_million is None else numbers.money(cost.per_million, cost.currency)


def _infeasible(plan: Plan) -> RenderableType:
    lines = [f"nearest: {plan.nearest or 'none'}", *(f"binding: {text}" for text in plan.binding)]
    lines += [f"would be met with {r.instead} instead of {r.requirement}: {r.candidate}" for r in plan.relaxations]
    return Panel(Text("\n".join(lines)), title="what stands in the way", border_style="yellow")


def _sensitivity(plan: Plan) -> RenderableType:
    """What would change the decision."""
    return Group(Text("what would change it", style="bold"), *(_indented(one) for one in plan.sensitivity), Text(""))


def _others(plan: Plan) -> RenderableType:
    """Each on a line of its own with its reason below, so that neither breaks in a narrow terminal."""
    others = [c for c in plan.candidates if c.verdict != "chosen"]
    lines: list[RenderableType] = [Text("the others, and why", style="bold")]
    for candidate in others[:RUNNERS_UP]:
        lines += [Text.assemble(candidate.id, "  ", _verdict(candidate), overflow="fold"), _indented(candidate.reason)]
    if len(others) > RUNNERS_UP:
        lines.append(Text(f"and {len(others) - RUNNERS_UP} more: all are in the report and in --format json"))
    return Group(*lines)


def _indented(text: str) -> RenderableType:
    return Padding(Text(text), (0, 0, 0, 4))


def _verdict(candidate: Weighed) -> Text:
    return Text(candidate.verdict, style=COLOURS[candidate.verdict])


def show_check(console: Console, check: Check) -> None:
    """What a check found."""
    for finding in check.findings:
        mark = "[green]holds[/green]" if finding.holds else "[red]fails[/red]"
        console.print(f"{mark}  {finding.what:<8} {finding.told}", highlight=False)


def show_examination(console: Console, examination: Examination) -> None:
    """What this machine has and what is missing."""
    machine = examination.machine
    console.print(f"[bold]{machine.cpu}[/bold], {machine.cores} cores, {machine.memory_mb:,} MB, {machine.system}")
    for title, packages in (("runtimes", examination.runtimes), ("packages", examination.packages)):
        console.print(f"\n[bold]{title}[/bold]")
        for package in packages:
            state = f"[green]{package.version}[/green]" if package.version else "[yellow]missing[/yellow]"
            console.print(f"  {package.name:<20} {state}  {package.how or package.purpose}", highlight=False)
    console.print("\n[bold]instruction sets[/bold]")
    for instruction in examination.instruction_sets:
        mark = "[green]yes[/green]" if instruction.present else "[dim]no [/dim]"
        console.print(f"  {mark} {instruction.name:<12} {instruction.brings}")
    if not examination.writable:
        console.print(f"\n[red]{examination.folder} cannot be written: nothing can be kept here[/red]")
    for note in examination.noise:
        console.print(f"\n[yellow]note[/yellow] {note}", highlight=False)
