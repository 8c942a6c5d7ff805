"""The least that a server in Python can do: uvicorn, and an ASGI application that sends the body back.

python echo_server.py MODEL.onnx PORT SETTINGS.json    the model is not looked at
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn


async def application(scope: Any, receive: Any, send: Any) -> None:
    """One request."""
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
    )
