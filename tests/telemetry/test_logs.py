"""Logs: one event a line whatever is in it, as JSON on demand; no tensor and no token is ever written."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.protocol import grpc_failures, reply
from steelyard.telemetry.logs import LOGGERS, Format, start_logging

TOKEN = "s3cret-t0ken-of-a-client"
log = logging.getLogger("steelyard.serve.somewhere")


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    before = {name: logging.getLogger(name) for name in LOGGERS}
    kept = {name: (one.handlers, one.propagate, one.level) for name, one in before.items()}
    yield
    for name, (handlers, propagate, level) in kept.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def written(*args: Any, form: Format = "json", **more: Any) -> str:
    stream = io.StringIO()
    start_logging(form, stream=stream, hidden=[TOKEN])
    log.warning(*args, **more)
    return stream.getvalue()


def line(*args: Any, **more: Any) -> dict[str, Any]:
    [only] = written(*args, **more).splitlines()
    told = json.loads(only)
    assert isinstance(told, dict)
    return told


def test_a_line_of_json_says_when_how_bad_and_what() -> None:
    told = line("version %d cannot be served", 3, extra={"model": "digits", "correlation": "1f2e", "body": "private"})
    assert told.pop("time")[-6:] == "+00:00"
    assert told == {
        "level": "warning",
        "logger": "steelyard.serve.somewhere",
        "event": "version 3 cannot be served",
        "model": "digits",
        "correlation": "1f2e",
    }


def test_a_line_for_people_has_the_same() -> None:
    told = written("it cannot be served", form="text", extra={"model": "digits", "correlation": "1f2e"})
    assert told.endswith(" WARNING it cannot be served model=digits correlation=1f2e\n")


def test_the_number_that_a_client_is_told_is_a_field() -> None:
    stream = io.StringIO()
    start_logging("json", stream=stream)
    over_http = json.loads(reply.unexpected(ValueError("/srv/one"), "it could not be changed").body)["error"]
    over_grpc = grpc_failures.failure(ValueError("/srv/two")).text
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["correlation"]) == ("it could not be changed", over_http.split()[-1])
    assert (second["event"], second["correlation"]) == ("internal error", over_grpc.split()[-1])
    assert ("/srv/one" in first["error"], "/srv/two" in second["error"]) == (True, True)


def test_an_exception_keeps_its_trace_but_not_the_token() -> None:
    for form in ("json", "text"):
        try:
            raise ValueError(f"refused {TOKEN}\nINFO all is well")
        except ValueError:
            told = written("failed", form=form, exc_info=True)
        assert "ValueError: refused [hidden]" in told
        assert "test_logs.py" in told
        assert TOKEN not in told
        assert not any(one.startswith("INFO") for one in told.splitlines())


@pytest.mark.parametrize("form", ["json", "text"])
@given(text=st.text(max_size=60))
@settings(deadline=None, max_examples=60)
def test_whatever_a_client_names_a_thing_one_event_stays_one_line(form: Format, text: str) -> None:
    told = written("there is no model '%s'", text, form=form, extra={"model": text})
    assert told.count("\n") == 1
    assert len(told.splitlines()) == 1
    if form == "json":
        assert json.loads(told)["model"] == text


@pytest.mark.parametrize(
    "secret",
    [
        "Authorization: Bearer abcdef123456",
        "authorization: basic dXNlcjpwYXNz",
        "GET /live?token=abcdef123456",
        '{"password": "abcdef123456"}',
        "api-key=abcdef123456",
        f"got {TOKEN}",
    ],
)
@pytest.mark.parametrize("form", ["json", "text"])
def test_credentials_are_hidden_wherever_they_stand(form: Format, secret: str) -> None:
    told = written("asked with %s", secret, form=form, extra={"correlation": secret})
    assert "[hidden]" in told
    for part in ("abcdef123456", "dXNlcjpwYXNz", TOKEN):
        assert part not in told


def test_ordinary_words_are_not_hidden() -> None:
    assert line("this server wants a token: send one")["event"] == "this server wants a token: send one"
    assert line("basic checks passed; bearer of news")["event"].startswith("basic")


def test_data_is_described_and_never_written() -> None:
    tensor = np.full((2, 3), 7.25, np.float32)
    told = line("got %s, %s and %s", tensor, b"\x07" * 99, [7.25] * 50)["event"]
    assert told == "got <float32 [2, 3]>, <99 bytes> and <list of 50>"
    assert line("took %.2f ms", np.float64(7.25))["event"] == "took 7.25 ms"
    assert line("%(what)s", {"what": tensor})["event"] == "<float32 [2, 3]>"
    assert line(tensor)["event"] == "<float32 [2, 3]>"


def test_long_texts_are_cut() -> None:
    told = line("x" * 100_000, extra={"model": "y" * 10_000})
    assert len(told["event"]) == 4001
    assert len(told["model"]) == 201


def test_what_is_no_text_is_told_all_the_same() -> None:
    assert line("cannot read %s", "a\udcffb")["event"] == "cannot read a\\udcffb"


def test_a_message_that_does_not_fit_its_arguments_is_still_told() -> None:
    assert line("%d items", "many")["event"] == "%d items"


def test_starting_twice_does_not_write_twice_and_servers_below_only_warn() -> None:
    stream = io.StringIO()
    start_logging("text")
    start_logging("text", stream=stream)
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.error").error("broke")
    log.info("ready")
    log.debug("details")
    assert [one.split()[-1] for one in stream.getvalue().splitlines()] == ["broke", "ready"]
