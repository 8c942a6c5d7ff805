"""Requests leave on schedule whatever the server does, and whatever it does is seen and counted."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from raw_server import Answer, Asked, RawServer, plain, raw_server, response
from steelyard.errors import InputError
from steelyard.load import client
from steelyard.load.outcome import How, Outcome, Progress
from steelyard.load.run import load, prove
from steelyard.load.target import Target, target

FEW = How(connections=4, patience_s=20)


def loaded(server: RawServer, count: int = 20, how: How = FEW, seconds: float = 0.05) -> Outcome:
    aim = target(server.url)
    return load(aim, [aim.request("POST", "/infer", b"{}")], np.linspace(0, seconds, count), how)


@pytest.fixture(params=["uvloop", "asyncio"])
def event_loop_name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "asyncio":
        monkeypatch.setattr("steelyard.load.client.fastest_loop", lambda: (None, "asyncio"))
        monkeypatch.setattr("steelyard.load.run.fastest_loop", lambda: (None, "asyncio"))
    else:
        pytest.importorskip("uvloop")
    return str(request.param)


def test_all_are_answered_on_kept_connections(event_loop_name: str) -> None:
    with raw_server(plain) as server:
        outcome = loaded(server, 50)
    assert np.isfinite(outcome.answered).all()
    assert (outcome.answered >= outcome.sent).all()
    assert (outcome.sent >= outcome.taken).all()
    assert (outcome.taken >= outcome.due).all()  # nothing leaves before its time
    assert len(server.asked) == 50
    assert server.connections == outcome.connections == 4
    assert (outcome.reopened, outcome.failed, outcome.loop) == (0, {}, event_loop_name)


def test_a_stalled_server_cannot_hide(event_loop_name: str) -> None:
    """The server holds every answer until all requests are due. A client that waits for answers before it asks again
    would have timed the few that it could send; here all are late, by as much as they were due before the release.
    """
    released = asyncio.Event()
    moment: list[float] = []

    async def hold(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.write(response())

    def on_progress(progress: Progress) -> None:
        if progress.due == progress.total and not moment:
            assert progress.answered == 0
            assert len(server.asked) <= 4
            moment.append(client_now())
            server.call(released.set)

    with raw_server(hold) as server:
        aim = target(server.url)
        due = np.linspace(0, 0.2, 100)
        outcome = load(aim, [aim.request("POST", "/infer", b"{}")], due, FEW, on_progress)
    assert np.isfinite(outcome.answered).all()
    took = outcome.answered - outcome.due
    assert (took >= moment[0] - outcome.due).all()
    assert np.ptp(outcome.due) == pytest.approx(0.2)
    assert took[0] >= 0.2  # it was due first
    assert outcome.waited == 96
    once_sent = (outcome.answered - outcome.sent)[outcome.sent > moment[0]]
    assert len(once_sent) == 96  # a closed loop would have told only these


def client_now() -> float:
    import time

    return time.monotonic()


def test_refusals_are_counted_with_the_first_reason() -> None:
    async def refuse(asked: Asked, writer: asyncio.StreamWriter) -> None:
        number = len(server.asked)
        if number % 2:
            writer.write(response(b'{"error": "queue is full \\u001b[31m"}', "503 Service Unavailable"))
        else:
            writer.write(response(b"\xff\xfe no json", "500 Internal Server Error") if number % 4 else response())

    with raw_server(refuse) as server:
        outcome = loaded(server, 40)
    assert outcome.failed == {"503": 20, "500": 10}
    assert outcome.errors["503"] == "queue is full �[31m"  # nothing that moves a terminal's cursor
    assert "no json" in outcome.errors["500"]
    assert np.isinf(outcome.answered).sum() == 30


async def close_each(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(response(headers="Connection: close\r\n"))
    writer.close()


async def old(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n{}")
    writer.close()


async def chunks(asked: Asked, writer: asyncio.StreamWriter) -> None:
    for piece in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"):
        writer.write(piece)
        await asyncio.sleep(0)


async def drip(asked: Asked, writer: asyncio.StreamWriter) -> None:
    for byte in response():
        writer.write(bytes([byte]))
        await asyncio.sleep(0)


@pytest.mark.parametrize("answer", [close_each, old, chunks, drip])
def test_servers_that_answer_oddly_but_well(answer: Answer) -> None:
    with raw_server(answer) as server:
        outcome = loaded(server, 20)
    assert outcome.failed == {}
    assert np.isfinite(outcome.answered).all()
    assert (outcome.reopened >= 16) is (answer in (close_each, old))


async def too_short(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
    await writer.drain()
    writer.close()


async def too_long(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}")


async def no_answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def nonsense(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (too_short, "lost", "in the middle of an answer"),
        (too_long, "malformed", "more came than the response said"),
        (no_answer, "lost", "before an answer"),
        (nonsense, "malformed", "does not begin as HTTP/1.1"),
    ],
)
def test_servers_that_break_the_protocol(
    answer: Answer, kind: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.load.client.LONGEST_WAIT_S", 0.02)
    with raw_server(answer) as server:
        outcome = loaded(server, 12)
    assert outcome.failed == {kind: 12}
    assert words in outcome.errors[kind]


def test_one_bad_answer_costs_one_request() -> None:
    async def mostly(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await (no_answer if len(server.asked) == 5 else plain)(asked, writer)

    with raw_server(mostly) as server:
        outcome = loaded(server, 40)
    assert outcome.failed == {"lost": 1}
    assert np.isfinite(outcome.answered).sum() == 39
    assert outcome.reopened == 1


def test_a_server_that_dies_fails_what_is_due_later() -> None:
    async def dies(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(server.asked) == 10:
            threading.Thread(target=server.die).start()
            await asyncio.sleep(30)
        writer.write(response())

    with raw_server(dies) as server:
        outcome = loaded(server, 200, seconds=0.6)
    assert outcome.failed["unreachable"] > 0
    assert "refused" in outcome.errors["unreachable"]
    assert sum(outcome.failed.values()) + np.isfinite(outcome.answered).sum() == 200


def test_a_server_that_never_answers_ends_with_the_patience() -> None:
    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    with raw_server(silent) as server:
        outcome = loaded(server, 10, How(connections=4, patience_s=0.2))
    assert outcome.failed == {"unanswered": 10}
    assert np.isnan(outcome.sent).sum() == 6
    assert not outcome.gave_up


def test_a_hopeless_run_is_given_up_and_counts_all_that_was_not_sent() -> None:
    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    with raw_server(silent) as server:
        aim = target(server.url)
        due = np.concatenate([np.linspace(0, 0.05, 50), np.linspace(600, 700, 50)])
        outcome = load(aim, [aim.request("GET", "/")], due, How(connections=4, hopeless_s=0.2))
    assert outcome.gave_up
    assert len(outcome.due) == 100
    assert outcome.failed["given up"] + outcome.failed["unanswered"] == 100
    assert np.isinf(outcome.answered).all()


def test_a_stop_reports_what_was_seen() -> None:
    stop = threading.Event()

    def on_progress(progress: Progress) -> None:
        if progress.answered >= 5:
            stop.set()

    with raw_server(plain) as server:
        aim = target(server.url)
        due = np.concatenate([np.linspace(0, 0.05, 10), [3600.0]])
        outcome = load(aim, [aim.request("GET", "/")], due, FEW, on_progress, stop)
    assert outcome.interrupted
    assert len(outcome.due) == 10
    assert np.isfinite(outcome.answered).all()


def test_the_warm_up_is_not_counted() -> None:
    async def cold(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(response(status="200 OK" if len(server.asked) > 5 else "500 Cold"))

    with raw_server(cold) as server:
        outcome = loaded(server, 20, How(connections=1, uncounted=5))
    assert len(outcome.due) == 15
    assert outcome.failed == {}
    assert len(server.asked) == 20


def test_the_variants_that_answers_name() -> None:
    async def named(asked: Asked, writer: asyncio.StreamWriter) -> None:
        variant = "int8" if len(server.asked) % 4 else "bf16"
        told = json.dumps({"model_name": "m", "parameters": {"variant": variant}, "outputs": []}).encode()
        writer.write(
            response(told + b'"variant": "noise"', headers=f"Inference-Header-Content-Length: {len(told)}\r\n")
        )

    with raw_server(named) as server:
        outcome = loaded(server, 40)
    assert outcome.variants == {"int8": 30, "bf16": 10}


def test_a_request_on_its_own_is_proved_first() -> None:
    async def refuses(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b'{"error": "x has the shape [1, 4]"}', asked.path.removeprefix("/")))

    with raw_server(refuses) as server:
        aim = target(server.url)
        with pytest.raises(InputError, match=r"refuses these requests \(400: x has the shape"):
            prove(aim, aim.request("GET", "/400"))
        with pytest.raises(InputError, match="fails at a single request"):
            prove(aim, aim.request("GET", "/500"))
        prove(aim, aim.request("GET", "/200"))
        prove(aim, aim.request("GET", "/503"))  # it is only busy


def test_nobody_listens() -> None:
    with raw_server(plain) as server:
        pass
    with pytest.raises(InputError, match="the connection was refused"):
        loaded(server)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    place = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*command.split(), *names, "-keyout", place, "-out", f"{place}.crt"], check=True, capture_output=True
    )
    place.write_text(place.read_text() + Path(f"{place}.crt").read_text())
    return place


@pytest.fixture
def secure(certificate: Path) -> Iterator[RawServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with raw_server(plain, context) as server:
        yield server


def test_over_tls_with_a_trusted_certificate(secure: RawServer, certificate: Path) -> None:
    aim = target(secure.url, authority=Path(f"{certificate}.crt"))
    outcome = load(aim, [aim.request("GET", "/")], np.linspace(0, 0.05, 20), FEW)
    assert outcome.failed == {}


def test_a_certificate_that_nobody_trusts_is_told(secure: RawServer) -> None:
    with pytest.raises(InputError, match="certificate was not accepted") as told:
        loaded(secure)
    assert "--ca" in told.value.hint


def test_a_plain_server_asked_for_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.load.client.CONNECT_S", 0.2)
    with raw_server(plain) as server, pytest.raises(InputError, match="cannot be reached") as told:
        prove(Target("localhost", server.port, secure=True), b"")
    assert "Try http://" in told.value.hint


def test_what_comes_unasked_ends_the_connection() -> None:
    async def twice(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(response())
        await asyncio.sleep(0.02)
        writer.write(response(status="500 Unasked"))

    with raw_server(twice) as server:
        outcome = loaded(server, 1, How(connections=1))
        assert outcome.failed == {}
        assert client.IDLE < 0
