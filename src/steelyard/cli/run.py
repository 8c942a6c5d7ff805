"""What the commands do. Imported only once a command runs, so that `--help` stays instant."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from steelyard import loop
from steelyard.assets import mnist_model, mnist_test
from steelyard.bundle import read_plan
from steelyard.cli import github, show
from steelyard.cli.progress import error_console, progress, stoppable
from steelyard.cli.settings import FILE, Setting, Settings, collect
from steelyard.cluster.ordered import weigh as weigh_as_ordered
from steelyard.errors import BundleError, SteelyardError
from steelyard.ledger import shown
from steelyard.loop import order
from steelyard.loop.joined import Pricing
from steelyard.records.base import to_json
from steelyard.records.job import Job
from steelyard.records.plan import Plan
from steelyard.report.explain import explain as explain_plan
from steelyard.report.explained import text as explanation_text
from steelyard.report.page import write as write_report

DEMO = {
    "latency": "p95=5ms",
    "quality_drop": "1%",
    "machine": "m7a.large",
    "within": "45s",
    "out": "demo-plan",
    "preprocess.scale": 1 / 255,
}
NOT_MET = 3
EASY_TO_READ = 96
"""Characters in a line of prose, at most."""


def weigh(flags: dict[str, Any], config: Path | None, form: str) -> NoReturn:
    """Weigh, show the plan, end with its status."""
    flags = flags | order.preprocess_flags(flags.pop("preprocess"))
    _weigh(order.job(collect(flags, config).words), form)


def weigh_settled(words: dict[str, Any], form: str) -> NoReturn:
    """The same with settings that were collected elsewhere."""
    _weigh(order.job(words), form)


def _weigh(job: Job, form: str) -> NoReturn:
    console = error_console()
    with stoppable(console) as stop, progress(console, job.within_s, form == "quiet") as on_event:
        balance = weigh_as_ordered(job, on_event, stop)
    if form == "json":
        _print_json(balance.plan)
    elif form == "human":
        show.show_balance(Console(), balance)
    sys.exit(0 if balance.plan.status == "met" else NOT_MET)


def demo(flags: dict[str, Any], form: str) -> NoReturn:
    """Weigh what comes with the package."""
    given = {name: value for name, value in flags.items() if value is not None}
    if "price" in given:
        given.setdefault("machine", None)
    settings = DEMO | {"model": str(mnist_model()), "data": str(mnist_test())} | given
    if form == "human":
        Console().print(
            "The demo weighs a small convolutional network for handwritten digits, judged by the 10,000 test images "
            "of MNIST that come with Steelyard: some calibrate, some select, the rest confirm.",
            highlight=False,
        )
    _weigh(order.job(collect(settings, Path(os.devnull)).words), form)


def decide(bundle: Path | None, subject: str, flags: dict[str, Any], config: Path | None, form: str) -> NoReturn:
    """Decide from the ledger; a bundle gives the subject and the requirements that are not said anew."""
    settings = collect(flags, config)
    if bundle is None:
        requirements, (pricing, warnings) = order.requirements(settings.words), order.pricing(settings.words)
    else:
        plan = read_plan(bundle)
        subject = subject or plan.subject.key
        requirements, (pricing, warnings) = _said_anew(settings, plan), _priced_anew(settings, plan)
    ledger = settings.words.get("ledger") or Path(settings.words["work"]) / "ledger.db"
    plan = loop.decide_again(ledger, requirements, pricing, subject=subject, warnings=warnings)
    if form == "json":
        _print_json(plan)
    elif form == "human":
        show.show_plan(Console(), plan)
    sys.exit(0 if plan.status == "met" else NOT_MET)


def _priced_anew(settings: Settings, plan: Plan) -> tuple[Pricing, tuple[str, ...]]:
    """The plan's prices, unless others were said now; `--spot` alone means the plan's machine.

    A plan about one machine stays with it, however many have weighed the subject since.
    """
    said = {name for name in order.PRICE if name in settings and settings[name].origin != "default"}
    if plan.machines:
        pricing, told = order.pricing(settings.words)
        before = {each.name: each.price for each in plan.machines}
        return replace(pricing, by_name=pricing.by_name if pricing.said else before | dict(pricing.by_name)), told
    only = plan.machine.fingerprint
    if not said:
        return Pricing(plan.price, said=True, only=only), ()
    named = {} if said & {"price", "machine"} else {"machine": plan.price.machine}
    pricing, told = order.pricing(settings.words | named)
    return replace(pricing, only=only), told


def _said_anew(settings: Settings, plan: Plan) -> Any:
    """The plan's requirements, with those changed that were said now."""
    said = Settings({n: s for n, s in settings.items() if n in order.REQUIREMENTS and s.origin != "default"})
    fresh = order.requirements({name: value for name, value in said.words.items() if name != "arrivals"})
    fields = {
        "latency": "latency",
        "quality": "quality_floor",
        "quality_drop": "quality_drop",
        "rate": "rate_per_s",
        "scenario": "scenario",
        "memory": "memory_mb",
        "budget": "budget_per_month",
        "priority": "priority",
        "confidence": "confidence",
        "headroom": "headroom",
        "spare": "spare",
    }
    changed = {fields[name]: getattr(fresh, fields[name]) for name in said if name != "arrivals"}
    if "arrivals" in said:
        changed["arrivals"] = order.arrivals(said.words)
    if "quality" in said:
        changed["quality_ceiling"] = fresh.quality_ceiling
    if "budget" in said:
        changed["budget_currency"] = fresh.budget_currency
    if "latency" in said and "scenario" not in said:
        changed["scenario"] = "server"
    return msgspec.structs.replace(plan.requirements, **changed)


def check(bundle: Path, data: str | None, work: str | None, config: Path | None, form: str) -> NoReturn:
    """Check a bundle; status 3 when it no longer holds."""
    console = error_console()
    try:
        with stoppable(console) as stop, progress(console, 600, form == "quiet") as on_event:
            found = loop.check(bundle, data=data, work=Path(work or ".steelyard"), on_event=on_event, stop=stop)
    except SteelyardError as error:
        if form == "github":
            print(github.refusal(error, bundle))
            github.write_files(False, None, error.message)
        raise
    if form == "json":
        _print_json(found)
    elif form == "human":
        show.show_check(Console(), found)
    elif form == "github":
        print(*github.commands(found, config or Path(FILE)), sep="\n")
        github.write_files(found.holds, found)
    sys.exit(0 if found.holds else NOT_MET)


def explain(place: Path, candidate: str, form: str) -> None:
    """Print why, as wide as the terminal up to a width that is easy to read."""
    explanation = explain_plan(read_plan(place), candidate)
    if form == "json":
        _print_json(explanation)
    elif form == "human":
        sys.stdout.write(explanation_text(explanation, min(Console().width, EASY_TO_READ)))


def report(bundle: Path, out: Path | None) -> None:
    """Render the report of a plan."""
    plan = read_plan(bundle)
    place = out or (bundle if bundle.is_dir() else bundle.parent) / "report.html"
    try:
        write_report(plan, place)
    except OSError as error:
        raise BundleError(f"{place} cannot be written: {error.strerror}", "choose another place with --out") from error
    print(place)


def config(file: Path | None, form: str) -> None:
    """Print the settings."""
    settings = {name: Setting(_told(s.value), s.origin) for name, s in sorted(collect({}, file).items())}
    if form == "json":
        _print_json({name: {"value": s.value, "origin": s.origin} for name, s in settings.items()})
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("setting", "value", "from"):
        table.add_column(heading)
    for name, setting in settings.items():
        table.add_row(*map(escape, (name, str(setting.value), setting.origin)))
    Console().print(table)


def _told(value: object) -> object:
    """A setting as it may be shown: no password of an address."""
    return shown(value) if isinstance(value, str) else value


def doctor(form: str) -> None:
    """Examine the machine."""
    from steelyard.machines.doctor import examine
    from steelyard.runtimes import RUNTIMES, lacking

    examination = examine(RUNTIMES.values(), lacking=lacking)
    if form == "json":
        _print_json(examination)
    elif form == "human":
        show.show_examination(Console(), examination)


def _print_json(value: object) -> None:
    sys.stdout.write(to_json(value, indent=2).decode() + "\n")
