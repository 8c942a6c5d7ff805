"""What tritonclient asks of the models of `serving.FakeRepository`: texts, half floats, and patience that ends.

`python -m clients.asking_made KIND PORT TOKEN`, see `four_clients.run_all`. The model `double` never answers.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from clients.four_clients import Client, refused, run_all, same, wait_for

SOON_S = 0.3


def check_texts_whole_numbers_and_half_floats(client: Client) -> None:
    ids = np.array([[1, 2, -3], [2**40, 0, 7]], dtype=np.int64)
    texts = np.array([["zwölf 三"], [""]], dtype=object)
    for binary in (True, False):
        inputs = [client.input("ids", ids, "INT64", binary), client.input("text", texts, "BYTES", binary)]
        outputs = [client.output(name, binary) for name in ("sum", "loud", "half")]
        result = client.infer("mixed", inputs, outputs=outputs)
        same(result, "sum", ids.sum(axis=1, keepdims=True))
        loud = [as_text(each) for each in result.as_numpy("loud").reshape(-1)]
        assert loud == ["ZWÖLF 三", ""], loud
        np.testing.assert_allclose(result.as_numpy("half"), ids / 2, rtol=0.01)


def as_text(element: Any) -> str:
    return element.decode() if isinstance(element, bytes) else str(element)


def check_bytes_that_are_no_text_are_told_so(client: Client) -> None:
    ids, texts = np.ones((1, 1), np.int64), np.array([[b"\xff\xfe"]], dtype=object)
    inputs = [client.input("ids", ids, "INT64"), client.input("text", texts, "BYTES")]
    assert "UTF-8" in refused(lambda: client.infer("mixed", inputs))


def check_a_model_without_batches(client: Client) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    same(client.infer("exact", [client.input("pixels", pixels, "UINT8")]), "mean", np.array([2.5]))


def check_a_client_that_waits_no_longer_gets_an_error(client: Client) -> None:
    inputs = [client.input("x", np.ones((1, 4), np.float32))]
    if not client.is_http:
        told = refused(lambda: client.infer("double", inputs, client_timeout=SOON_S))
        assert "Deadline" in told, told
        return
    name = "conn_timeout" if client.kind == "http.aio" else "network_timeout"
    impatient = client.opened(**{name: SOON_S})
    try:
        answer = client.infer("double", inputs, client=impatient)
    except Exception as error:
        assert "time" in f"{type(error).__name__} {error}".lower(), repr(error)  # noqa: PT017 - each has its own kind
    else:
        raise AssertionError(f"an error was expected, got {answer}")
    client.waited(impatient.close)


def check_a_request_that_is_called_off(client: Client) -> None:
    if client.kind != "grpc":
        return
    told: list[Any] = []
    call = client.client.async_infer(
        "double",
        [client.input("x", np.ones((1, 4), np.float32))],
        lambda result, error: told.append(error),
        headers=client.headers,
    )
    call.cancel()
    wait_for(lambda: bool(told))
    assert "ancel" in str(told[0])


if __name__ == "__main__":
    run_all(globals(), sys.argv[1:])
