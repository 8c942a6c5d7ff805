"""`steelyard serve`: its options. What it does is imported once it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.cli.formats import Format, LogForm

ADDRESS, MODELS, SAFETY = "Address", "Models", "Safety"


def serve_command(
    bundles: Annotated[
        list[str], typer.Argument(help="Bundles: FOLDER, or NAME=FOLDER. The name is the model's file unless said.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.", rich_help_panel=ADDRESS)] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of HTTP; 0: any that is free.", rich_help_panel=ADDRESS)] = 8000,
    grpc_port: Annotated[
        int, typer.Option(help="Of gRPC; 0: any that is free; -1: no gRPC.", rich_help_panel=ADDRESS, min=-1)
    ] = 8001,
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Run every model in processes of its own.", rich_help_panel=MODELS)
    ] = False,
    switch: Annotated[
        bool,
        typer.Option(help="Answer with the most accurate variant that the load permits.", rich_help_panel=MODELS),
    ] = True,
    only: Annotated[
        str, typer.Option(help="Answer with this variant of the plan's ladder alone.", rich_help_panel=MODELS)
    ] = "",
    queue: Annotated[
        int, typer.Option(help="Items that may wait for each model; more are refused.", rich_help_panel=MODELS)
    ] = 10_000,
    shadow: Annotated[
        str, typer.Option(help="Compare so many of the answers with the original's.", rich_help_panel=MODELS)
    ] = "0%",
    canary: Annotated[
        str,
        typer.Option(help="A bundle loaded anew gets so many of the requests at first.", rich_help_panel=MODELS),
    ] = "0%",
    canary_for: Annotated[
        str, typer.Option(help="Before it takes over, or the old one stays.", rich_help_panel=MODELS)
    ] = "60s",
    canary_tolerance: Annotated[
        str, typer.Option(help="It may fail or be late by so much more often.", rich_help_panel=MODELS)
    ] = "1%",
    hang: Annotated[
        str, typer.Option(help="A batch in a process of its own that takes longer is given up.", rich_help_panel=MODELS)
    ] = "30s",
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that clients must send; or STEELYARD_TOKEN.", rich_help_panel=SAFETY),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name that clients may call this server by.", rich_help_panel=SAFETY)
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="A web page's origin that may call this server.", rich_help_panel=SAFETY)
    ] = None,
    max_body: Annotated[str, typer.Option(help="Largest request.", rich_help_panel=SAFETY)] = "64MB",
    log_format: Annotated[LogForm, typer.Option(help="text, or json: one object a line.")] = LogForm.text,
    trace: Annotated[
        bool, typer.Option("--trace", help="Send spans to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="How it tells where it listens: human, json, quiet.")] = (
        Format.human
    ),
) -> None:
    """Serve bundles behind the Open Inference Protocol, over HTTP and gRPC.

    SIGTERM ends it: what waits is answered first. SIGHUP opens all bundles anew; requests go on meanwhile, and a bundle
    that cannot be opened changes nothing. With --canary it is tried beside the old one, which stays if it does better.
    """
    from steelyard.cli import serve_run
    from steelyard.loop.serving import Served
    from steelyard.records.stated import megabytes, seconds, share
    from steelyard.serve.canary import Terms

    settings = Served(
        host=host,
        port=port,
        grpc_port=None if grpc_port < 0 else grpc_port,
        isolate=isolate,
        switch=switch,
        only=only,
        most_waiting=queue,
        shadow=share(shadow, "--shadow"),
        canary=Terms(
            share=share(canary, "--canary"),
            for_s=seconds(canary_for, "--canary-for"),
            tolerance=share(canary_tolerance, "--canary-tolerance"),
        ),
        hang_s=seconds(hang, "--hang"),
        token_file=token_file,
        hosts=tuple(allow_host or ()),
        origins=tuple(allow_origin or ()),
        most_body=int(megabytes(max_body, "--max-body") * 10**6),
        log_form=log_format.value,
        trace=trace,
    )
    serve_run.execute(bundles, settings, form.value)
