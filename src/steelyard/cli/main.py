"""The commands."""

from __future__ import annotations

import itertools
import json
import re
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from steelyard.cli import output
from steelyard.cli.export import export_command
from steelyard.cli.formats import CheckFormat, Format
from steelyard.cli.load import load_command
from steelyard.cli.replay import replay_command
from steelyard.cli.requirement_options import Config, Out, Work
from steelyard.cli.serve import serve_command
from steelyard.cli.train import train_command
from steelyard.cli.weigh import decide_command, demo_command, weigh_command
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


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"steelyard {VERSION}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Tell the version.", callback=_tell_version, is_eager=True)]


@app.callback()
def common(version: Version = False) -> None:
    """Options of the program itself."""


app.command("weigh")(weigh_command)
app.command("demo")(demo_command)
app.command("decide")(decide_command)


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    data: Annotated[str | None, typer.Option(help="Where the data is now; default where it was.")] = None,
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
