"""An application that others run: it opens and closes with its lifespan, below whatever path it is mounted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from serving import FakeRepository
from serving_here import Connection, run_by_uvicorn
from steelyard.errors import BundleError, UsageError
from steelyard.protocol.asgi import below
from steelyard.protocol.embedded import Embedded
from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http

INFER = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


class Models:
    """What is opened; counts how often, and where."""

    def __init__(self) -> None:
        self.http = Http(FakeRepository(), Guards())
        self.opened: list[int] = []
        self.closed = 0
        self.failure: Exception | None = None

    def open(self) -> Models:
        if self.failure is not None:
            raise self.failure
        self.opened.append(threading.get_ident())
        return self

    def close(self) -> None:
        self.closed += 1


def connected(server: uvicorn.Server) -> Connection:
    return Connection(server.servers[0].sockets[0].getsockname()[1])


@pytest.fixture
def models() -> Models:
    return Models()


def test_the_server_s_lifespan_opens_and_closes_it(models: Models) -> None:
    application = Embedded(models.open)
    for times in (1, 2):
        with run_by_uvicorn(application) as server:
            client = connected(server)
            assert len(models.opened) == times
            assert client.ask("GET", "/v2/health/ready")[0] == 200
            status, answer = client.ask("POST", "/v2/models/double/infer", INFER)
            assert (status, answer["outputs"][0]["data"]) == (200, [2, 4, 6, 8])
            client.close()
            assert models.closed == times - 1
        assert models.closed == times


@pytest.mark.parametrize(
    ("failure", "told"),
    [(BundleError("it is no bundle", "weigh first"), "it is no bundle\n  weigh first"), (OSError(5), "OSError")],
)
def test_what_keeps_it_from_opening_is_told(
    failure: Exception, told: str, models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    models.failure = failure
    with run_by_uvicorn(Embedded(models.open)) as server:
        assert not server.started
    assert not models.closed
    assert any(record.name == "uvicorn.error" and told in record.getMessage() for record in caplog.records)


def mounting(application: Embedded, **more: Any) -> Starlette:
    home = Route("/", lambda _: PlainTextResponse("1"))
    return Starlette(routes=[home, Mount("/models/these", application)], **more)


def test_mounted_below_a_path(models: Models) -> None:
    application = Embedded(models.open)
    with run_by_uvicorn(mounting(application, lifespan=application.lifespan)) as server:
        client = connected(server)
        assert client.ask("GET", "/models/these/v2/health/ready")[0] == 200
        assert client.ask("POST", "/models/these/v2/models/double/infer", INFER)[0] == 200
        assert client.ask("GET", "/") == (200, 1)
        status, told = client.ask("GET", "/models/these/nowhere")
        assert (status, told["error"][:27]) == (404, "there is nothing at '/nowhe")
        client.close()
    assert (len(models.opened), models.closed) == (1, 1)


def test_mounted_without_its_lifespan_says_what_is_missing(models: Models) -> None:
    with run_by_uvicorn(mounting(Embedded(models.open))) as server:
        client = connected(server)
        status, told = client.ask("GET", "/models/these/v2/health/live")
        assert (status, "lifespan=models.lifespan" in told["error"]) == (503, True)
        client.close()
    assert not models.opened


def test_it_is_opened_off_the_event_loop_and_by_one_lifespan_only(models: Models) -> None:
    application = Embedded(models.open)

    async def twice() -> None:
        async with application.lifespan():
            assert models.opened != [threading.get_ident()]
            with pytest.raises(UsageError, match="open already"):
                await application.lifespan().__aenter__()

    asyncio.run(twice())
    assert models.closed == 1


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/v2", "", "/v2"),
        ("/models/v2", "/models", "/v2"),
        ("/models/v2", "/models/", "/v2"),
        ("/v2/models/m", "/models", "/v2/models/m"),  # left out by the server itself
        ("/models", "/models", "/models"),
        ("/modelsv2", "/models", "/modelsv2"),
    ],
)
def test_the_path_below(path: str, root: str, expected: str) -> None:
    assert below({"path": path, "root_path": root}) == expected


@pytest.mark.parametrize("opened", [True, False])
def test_a_websocket_is_closed(opened: bool, models: Models) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def ask(application: Callable[..., Any]) -> None:
        await application({"type": "websocket"}, None, send)

    async def both() -> None:
        application = Embedded(models.open)
        if opened:
            async with application.lifespan():
                await ask(application)
        else:
            await ask(application)

    asyncio.run(both())
    assert [each["type"] for each in sent] == ["websocket.close"]
