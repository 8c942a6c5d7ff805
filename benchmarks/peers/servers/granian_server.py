"""`steelyard serve` as it would be on granian: the same application, RSGI in place of ASGI. For comparison only.

    python granian_server.py BUNDLE PORT

Not offered to users: granian's embedded server calls itself experimental, binds the port itself and tells nobody when
it listens, answers what is not HTTP without the protocol's form of an error, and bounds connections by not accepting
them.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop
from granian.http import HTTP1Settings
from granian.server.embed import Server

from steelyard.protocol.guards import Guards
from steelyard.protocol.http import Http
from steelyard.protocol.rsgi import RsgiApplication
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository


async def serve(http: Http, port: int) -> None:
    """Until SIGTERM."""
    head = HTTP1Settings(header_read_timeout=10_000)
    server = Server(
        RsgiApplication(http), "127.0.0.1", port, websockets=False, backlog=2048, http1_settings=head, log_enabled=False
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    repository = Repository({"m": Path(sys.argv[1])}, Options(switch=False))
    repository.load("m")
    uvloop.run(serve(Http(repository, Guards()), int(sys.argv[2])))
    repository.close()
