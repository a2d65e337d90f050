"""Work of the look-up: in the order of the requests, and not for those that no longer wait."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from clickstream.infra.errors import UnavailableError
from clickstream.lookup.jobs import Jobs
from clickstream.lookup.server import bound


def test_a_request_that_waited_too_long_is_refused_and_its_work_is_not_done() -> None:
    done: list[int] = []

    async def requests() -> None:
        jobs, go_on = Jobs(patience_s=0.05), threading.Event()
        asyncio.get_running_loop().call_later(0.2, go_on.set)
        slow = asyncio.create_task(jobs.run(go_on.wait, 30))
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="behind"):
            await jobs.run(done.append, 1)
        assert await slow
        await jobs.run(done.append, 2)
        jobs.close()

    asyncio.run(requests())
    assert done == [2]


def test_work_is_done_in_the_order_in_which_it_was_asked_for() -> None:
    done: list[int] = []

    async def requests() -> None:
        jobs = Jobs(patience_s=30)
        await asyncio.gather(*(jobs.run(done.append, number) for number in range(20)))
        jobs.close()

    asyncio.run(requests())
    assert done == list(range(20))


def test_an_answer_is_sent_at_once_and_not_when_the_client_acknowledged_its_first_part() -> None:
    with bound("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
