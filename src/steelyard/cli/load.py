"""The command that puts a server under load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.cli.formats import Format

LOAD, BODIES, HELD, SHOWN = "Load", "Requests", "What is held against it", "Output"
Text = str | None
Texts = list[str] | None

Url = Annotated[str, typer.Argument(help="The server: http://HOST:PORT, or https://…", show_default=False)]
ModelName = Annotated[str, typer.Option("--model", help="Which model; the only one unless said.", rich_help_panel=BODIES)]  # fmt: skip  # noqa: E501
ModelVersion = Annotated[str, typer.Option(help="Which version; the server's choice unless said.", rich_help_panel=BODIES)]  # fmt: skip  # noqa: E501
Rate = Annotated[Text, typer.Option(help="Requests on average: 500/s. With --find where to begin.", rich_help_panel=LOAD)]  # fmt: skip  # noqa: E501
For = Annotated[Text, typer.Option("--for", help="How long: 30s; with --find each run 10s.", metavar="TIME", rich_help_panel=LOAD)]  # fmt: skip  # noqa: E501
Pattern = Annotated[str, typer.Option("--arrivals", help="How requests come: poisson, gamma:4 (bursts), trace:FILE.", rich_help_panel=LOAD)]  # fmt: skip  # noqa: E501
WarmUp = Annotated[str, typer.Option(help="The same load before, not counted.", rich_help_panel=LOAD)]
Patience = Annotated[str, typer.Option(help="Answers are waited for so long after the last request.", rich_help_panel=LOAD)]  # fmt: skip  # noqa: E501
Connections = Annotated[int, typer.Option(help="Kept open; each carries one request at a time.", rich_help_panel=LOAD)]
Seed = Annotated[int, typer.Option(help="Of arrivals and items.", rich_help_panel=LOAD)]
Data = Annotated[Path | None, typer.Option(help=".npz of real items, an array for each input; random ones unless said.", rich_help_panel=BODIES)]  # fmt: skip  # noqa: E501
Inputs = Annotated[Texts, typer.Option("--input", help="Model input and array: image=x.", rich_help_panel=BODIES)]
Items = Annotated[int | None, typer.Option(help="In each request; 1 unless the model insists.", rich_help_panel=BODIES)]
Shapes = Annotated[Texts, typer.Option("--shape", help="Size of a random item where it may vary: input_ids=64.", rich_help_panel=BODIES)]  # fmt: skip  # noqa: E501
Json = Annotated[bool, typer.Option("--json/--binary", help="Tensors as JSON, or as they lie in memory.", rich_help_panel=BODIES)]  # fmt: skip  # noqa: E501
Timeout = Annotated[Text, typer.Option(help="Told to the server with each request: 50ms.", rich_help_panel=BODIES)]
Priority = Annotated[int | None, typer.Option(help="Told to the server: larger is sooner.", rich_help_panel=BODIES)]
MinQuality = Annotated[float | None, typer.Option(help="Told to the server: no worse variant may answer.", rich_help_panel=BODIES)]  # fmt: skip  # noqa: E501
Headers = Annotated[Texts, typer.Option("--header", help="'Name: value', with every request.", rich_help_panel=BODIES)]
Authority = Annotated[Path | None, typer.Option("--ca", help="PEM of certificates to trust, for https.", rich_help_panel=BODIES)]  # fmt: skip  # noqa: E501
Latency = Annotated[Text, typer.Option("--latency", help="Any percentile: --p95 20ms, --p99.9 50ms, or --latency p95=20ms.", metavar="pN=TIME", rich_help_panel=HELD)]  # fmt: skip  # noqa: E501
Confidence = Annotated[str, typer.Option(help="Of the verdict.", rich_help_panel=HELD)]
Find = Annotated[bool, typer.Option("--find", help="Find the highest rate that keeps the latency.", rich_help_panel=HELD)]  # fmt: skip  # noqa: E501
Out = Annotated[Format, typer.Option("--format", help="human, json (for scripts) or quiet.", rich_help_panel=SHOWN)]


def load_command(
    url: Url,
    model: ModelName = "",
    model_version: ModelVersion = "",
    rate: Rate = None,
    for_: For = None,
    arrivals: Pattern = "poisson",
    warm_up: WarmUp = "1s",
    patience: Patience = "30s",
    connections: Connections = 64,
    seed: Seed = 0,
    data: Data = None,
    inputs: Inputs = None,
    items: Items = None,
    shapes: Shapes = None,
    as_json: Json = False,
    timeout: Timeout = None,
    priority: Priority = None,
    min_quality: MinQuality = None,
    headers: Headers = None,
    authority: Authority = None,
    latency: Latency = None,
    confidence: Confidence = "95%",
    find: Find = False,
    form: Out = Format.human,
) -> None:
    """Put a server of the Open Inference Protocol under load: requests leave on schedule, whatever became of others.

    Exit status 3: the latency bound is broken, or with --find no rate keeps it. STEELYARD_TOKEN may hold a token.
    """
    from steelyard.cli import load_run

    asked = load_run.Asked(
        url=url, model=model, model_version=model_version, rate=rate, seconds=for_, arrivals=arrivals, warm_up=warm_up,
        patience=patience, connections=connections, seed=seed, data=data, inputs=inputs or [], items=items,
        shapes=shapes or [], json=as_json, timeout=timeout, priority=priority, min_quality=min_quality,
        headers=headers or [], authority=authority, latency=latency, confidence=confidence,
    )  # fmt: skip
    load_run.execute(asked, find, form.value)
