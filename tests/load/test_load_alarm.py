"""Alarms ring once, in time's order, never before their time."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

import pytest

from steelyard.load.alarm import Alarm, KernelAlarm, LoopAlarm, alarm

Maker = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Alarm]
ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a timer of the Linux kernel")


@pytest.mark.parametrize("maker", [pytest.param(KernelAlarm, marks=ONLY_LINUX), LoopAlarm])
def test_it_rings_when_it_is_due_and_may_be_set_again(maker: Maker) -> None:
    due, rung = [0.0, 0.001, 0.0012, 0.01], []

    async def ring() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        begin = time.monotonic() + 0.01

        def call() -> None:
            rung.append(time.monotonic() - begin)
            if len(rung) == len(due):
                done.set()
            else:
                clock.at(begin + due[len(rung)])

        clock = maker(loop, call)
        clock.at(begin + due[0])
        await asyncio.wait_for(done.wait(), 30)
        clock.close()

    asyncio.run(ring())
    assert len(rung) == len(due)
    assert all(at >= when - 1e-6 for at, when in zip(rung, due, strict=True))


@pytest.mark.parametrize("maker", [pytest.param(KernelAlarm, marks=ONLY_LINUX), LoopAlarm, alarm])
def test_a_time_that_has_passed_rings_at_once_and_a_closed_alarm_never(maker: Maker) -> None:
    async def ring() -> None:
        rang = asyncio.Event()
        clock = maker(asyncio.get_running_loop(), rang.set)
        clock.at(time.monotonic() - 1)
        await asyncio.wait_for(rang.wait(), 30)
        rang.clear()
        clock.at(time.monotonic() + 0.01)
        clock.close()
        await asyncio.sleep(0.05)
        assert not rang.is_set()

    asyncio.run(ring())
