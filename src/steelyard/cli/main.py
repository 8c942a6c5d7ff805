"""The commands."""

from __future__ import annotations

import itertools
import json
import re
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from steelyard.cli import output
from steelyard.cli.data_options import (
    Calibration,
    Classes,
    Columns,
    Data,
    Duplicates,
    Inputs,
    Labels,
    Limit,
    Manifest,
    MaxTokens,
    Missing,
    Offset,
    Output,
    Padding,
    Preprocess,
    Seed,
    Tokenizer,
    Words,
)
from steelyard.cli.export import export_command
from steelyard.cli.formats import Format
from steelyard.cli.load import load_command
from steelyard.cli.replay import replay_command
from steelyard.cli.serve import serve_command
from steelyard.cli.train import train_command
from steelyard.errors import SteelyardError
from steelyard.version import VERSION

app = typer.Typer(
    name="steelyard",
    help="Find the point at which speed, cost and quality of a model balance, prove it, and run the model there.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


WRONG_USAGE: type[Exception] = typer.BadParameter.__bases__[0]
"""An unknown option, a missing argument: the parser's own error, which has no public name in every version."""


class CheckFormat(StrEnum):
    """How a check is shown."""

    human = "human"
    json = "json"
    quiet = "quiet"
    github = "github"


REQUIRED, PRICES, SEARCH = "Requirements", "Prices", "Search and output"
Text = str | None
Out = Annotated[Format, typer.Option("--format", help="human, json (for scripts) or quiet.", rich_help_panel=SEARCH)]
Config = Annotated[Path | None, typer.Option(help="Settings file; default steelyard.toml.", rich_help_panel=SEARCH)]
Latency = Annotated[Text, typer.Option("--latency", help="Any percentile: --p95 5ms, --p99.9 20ms, or --latency p95=5ms.", metavar="pN=TIME", rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Quality = Annotated[Text, typer.Option(help='Lowest value of the metric, ">=0.98"; of an error the highest, "<=0.1".', rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Drop = Annotated[Text, typer.Option("--quality-drop", help="Largest loss against the reference; 1% unless said.", rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Rate = Annotated[Text, typer.Option(help="Requests to be served: 500/s.", rich_help_panel=REQUIRED)]
Scenario = Annotated[Text, typer.Option(help="server, single or offline.", rich_help_panel=REQUIRED)]
Pattern = Annotated[Text, typer.Option("--arrivals", help="How requests come: poisson, gamma:2 (bursts), trace:FILE.", rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Memory = Annotated[Text, typer.Option(help="Peak memory of one replica: 512MB.", rich_help_panel=REQUIRED)]
Budget = Annotated[Text, typer.Option(help="Money for all replicas: 200USD/month.", rich_help_panel=REQUIRED)]
Priority = Annotated[Text, typer.Option(help="cost, speed, quality or knee.", rich_help_panel=REQUIRED)]
Confidence = Annotated[Text, typer.Option(help="Of every verdict; 95% unless said.", rich_help_panel=REQUIRED)]
Headroom = Annotated[Text, typer.Option(help="Capacity to keep free: 20%.", rich_help_panel=REQUIRED)]
Spare = Annotated[Text, typer.Option(help="Replicas kept for failure: 1 is n+1.", rich_help_panel=REQUIRED)]
PriceText = Annotated[Text, typer.Option(help="Of one machine: 0.10USD/h.", rich_help_panel=PRICES)]
MachineName = Annotated[Text, typer.Option(help="Price of a known machine: m7a.large.", rich_help_panel=PRICES)]
Spot = Annotated[bool | None, typer.Option("--spot", help="Pay the spot price, and keep replicas to spare.", rich_help_panel=PRICES)]  # fmt: skip  # noqa: E501
MachinePrices = Annotated[list[str] | None, typer.Option("--machine-price", help="Of one of several machines that weighed: NAME=0.10USD/h.", rich_help_panel=PRICES)]  # fmt: skip  # noqa: E501
Catalogue = Annotated[Text, typer.Option(help="CSV of your own prices.", rich_help_panel=PRICES)]
Metric = Annotated[Text, typer.Option(help="accuracy, f1, recall:CLASS, auroc, mse, cosine …, or package.module:function.", rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Within = Annotated[Text, typer.Option(help="Time for the whole search: 60s, 10min.", rich_help_panel=SEARCH)]
Exhaustive = Annotated[bool | None, typer.Option("--exhaustive", help="Measure every candidate to the end, drop none.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501
OutFolder = Annotated[Text, typer.Option("--out", help="Folder of the bundle.", rich_help_panel=SEARCH)]
Work = Annotated[Text, typer.Option(help="Folder kept between runs; default .steelyard.", rich_help_panel=SEARCH)]
LedgerPlace = Annotated[Text, typer.Option("--ledger", help="Ledger file or URL.", rich_help_panel=SEARCH)]
On = Annotated[Text, typer.Option("--on", help="Weigh on a Ray cluster's nodes: ray, or ray://HOST:PORT.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501
Mlflow = Annotated[Text, typer.Option("--mlflow", help="Log to MLflow: its URI, or auto for MLFLOW_TRACKING_URI.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501
Seconds = Annotated[Text, typer.Option("--candidate-time", help="No step of one candidate takes longer: 5min.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501
Most = Annotated[Text, typer.Option("--candidate-memory", help="No candidate may use more: 4GB.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"steelyard {VERSION}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Tell the version.", callback=_tell_version, is_eager=True)]


@app.callback()
def common(version: Version = False) -> None:
    """Options of the program itself."""


@app.command()
def weigh(
    model: Annotated[Text, typer.Argument(help="The model: .onnx, or OpenVINO .xml.")] = None,
    data: Data = None,
    labels: Labels = None,
    classes: Classes = None,
    calibration: Calibration = None,
    inputs: Inputs = None,
    columns: Columns = None,
    tokenizer: Tokenizer = None,
    text: Words = None,
    max_tokens: MaxTokens = None,
    padding: Padding = None,
    missing: Missing = None,
    duplicates: Duplicates = None,
    manifest: Manifest = None,
    label_offset: Offset = None,
    limit: Limit = None,
    seed: Seed = None,
    preprocess: Preprocess = None,
    metric: Metric = None,
    output: Output = None,
    latency: Latency = None,
    quality: Quality = None,
    quality_drop: Drop = None,
    rate: Rate = None,
    scenario: Scenario = None,
    arrivals: Pattern = None,
    memory: Memory = None,
    budget: Budget = None,
    priority: Priority = None,
    confidence: Confidence = None,
    headroom: Headroom = None,
    spare: Spare = None,
    price: PriceText = None,
    machine: MachineName = None,
    spot: Spot = None,
    machines: MachinePrices = None,
    catalogue: Catalogue = None,
    within: Within = None,
    exhaustive: Exhaustive = None,
    out: OutFolder = None,
    work: Work = None,
    ledger: LedgerPlace = None,
    on: On = None,
    mlflow: Mlflow = None,
    candidate_time: Seconds = None,
    candidate_memory: Most = None,
    config: Config = None,
    format: Out = Format.human,
) -> None:
    """Weigh a model: find the cheapest way to run it that keeps every requirement, and prove it."""
    from steelyard.cli import run

    run.weigh(_flags(locals()), config, format.value)


@app.command()
def demo(
    out: OutFolder = None,
    work: Work = None,
    within: Within = None,
    latency: Latency = None,
    price: PriceText = None,
    machine: MachineName = None,
    format: Out = Format.human,
) -> None:
    """Weigh the network that comes with Steelyard on the digits that come with it. Needs no network."""
    from steelyard.cli import run

    run.demo(_flags(locals()), format.value)


@app.command()
def decide(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle whose subject and requirements are meant.")] = None,
    subject: Annotated[str, typer.Option(help="Name or key of the subject; default the newest.")] = "",
    latency: Latency = None,
    quality: Quality = None,
    quality_drop: Drop = None,
    rate: Rate = None,
    scenario: Scenario = None,
    arrivals: Pattern = None,
    memory: Memory = None,
    budget: Budget = None,
    priority: Priority = None,
    confidence: Confidence = None,
    headroom: Headroom = None,
    spare: Spare = None,
    price: PriceText = None,
    machine: MachineName = None,
    spot: Spot = None,
    machines: MachinePrices = None,
    catalogue: Catalogue = None,
    work: Work = None,
    ledger: LedgerPlace = None,
    config: Config = None,
    format: Out = Format.human,
) -> None:
    """Answer new requirements or prices from the ledger at once, without measuring."""
    from steelyard.cli import run

    run.decide(bundle, subject, _flags(locals()), config, format.value)


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    data: Annotated[Text, typer.Option(help="Where the data is now; default where it was.")] = None,
    work: Work = None,
    config: Config = None,
    format: Annotated[
        CheckFormat, typer.Option("--format", help="human, json, quiet, or github: annotations.")
    ] = CheckFormat.human,
) -> None:
    """Verify a bundle again: hashes, quality, and speed beside the reference. Exit status 3 when it no longer holds."""
    from steelyard.cli import run

    run.check(bundle, data, work, config, format.value)


@app.command()
def explain(
    plan: Annotated[Path, typer.Argument(help="A bundle, or a plan.json.")],
    candidate: Annotated[str, typer.Argument(help="Its id or a part of it; chosen, reference or nearest.")] = "",
    format: Out = Format.human,
) -> None:
    """Say in plain words why a plan is as it is, or why one candidate stands where it stands."""
    from steelyard.cli import run

    run.explain(plan, candidate, format.value)


@app.command()
def report(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a plan.json.")],
    out: Annotated[Path | None, typer.Option(help="Where to; default report.html in the bundle.")] = None,
) -> None:
    """Write the report of a plan anew."""
    from steelyard.cli import run

    run.report(bundle, out)


app.command("serve")(serve_command)
app.command("train")(train_command)
app.command("load")(load_command)
app.command("export")(export_command)
app.command("replay")(replay_command)


@app.command()
def config(
    show: Annotated[bool, typer.Option("--show", help="Print what holds and where it came from.")] = True,
    file: Annotated[Path | None, typer.Option("--config", help="Settings file; default steelyard.toml.")] = None,
    format: Out = Format.human,
) -> None:
    """Show the settings that hold: command line over environment over steelyard.toml over defaults."""
    from steelyard.cli import run

    if show:
        run.config(file, format.value)


@app.command()
def doctor(format: Out = Format.human) -> None:
    """Examine this machine: runtimes, devices, instruction sets; what is missing and how to get it."""
    from steelyard.cli import run

    run.doctor(format.value)


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """The settings among a command's arguments."""
    return {k: v for k, v in given.items() if k not in ("config", "format", "bundle", "subject", "run")}


def with_percentiles(arguments: list[str]) -> list[str]:
    """`--p95 5ms` and `--p99.9=20ms` as `--latency p95=5ms`: any percentile is a flag."""
    result, rest = [], iter(arguments)
    for argument in rest:
        match = re.fullmatch(r"--p(\d+(?:\.\d+)?)(?:=(.*))?", argument)
        if match is None:
            result.append(argument)
            continue
        bound = match[2] if match[2] is not None else next(rest, None)
        result += ["--latency", f"p{match[1]}={bound if bound is not None else ''}"]
    return result


def main(arguments: list[str] | None = None) -> None:
    """Entry point: runs a command and ends the process with its exit status."""
    given = with_percentiles(sys.argv[1:] if arguments is None else arguments)
    with output.watched() as hung_up:
        status = _run(given)
        status = output.HUNG_UP if hung_up(status) else status
    sys.exit(status)


def _run(given: list[str]) -> int:
    """The exit status of one command; whatever went wrong has been told."""
    try:
        status = app(given, standalone_mode=False)
    except SystemExit as ended:
        status = ended.code
    except SteelyardError as error:
        _tell(error, given)
        status = error.exit_status
    except typer.Exit as ended:
        status = ended.exit_code
    except (typer.Abort, KeyboardInterrupt):
        status = 130
    except WRONG_USAGE as error:
        error.show()  # type: ignore[attr-defined]
        status = 2
    except BrokenPipeError:
        status = 1
    except Exception:
        traceback.print_exc()
        print("\nThis is a fault in Steelyard itself, not in your input; please report it.", file=sys.stderr)
        status = 1
    return status if isinstance(status, int) else 0


def _tell(error: SteelyardError, arguments: list[str]) -> None:
    """The error on standard error, as JSON when JSON was asked for."""
    if "--format=json" in arguments or ("--format", "json") in itertools.pairwise(arguments):
        told = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        print(json.dumps(told), file=sys.stderr)
        return
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    main()
