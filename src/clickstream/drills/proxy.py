"""A door between a client and a server, that can be shut or made slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from clickstream.local.child import HOST, free_port

_CHUNK = 65_536


class Proxy:
    """Forwards every connection to `target` (host, port) until closed.

    `shut` is a network that drops all packets: connections stay up, nothing passes, and what was sent
    arrives when the door is open again, as TCP would repeat it. `delay_s` is added to every chunk;
    `connections` have come so far.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.delay_s = 0.0
        self.connections = 0
        self._target: tuple[str, int] | None = None
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)

    @property
    def address(self) -> str:
        """The address that clients connect to, as host:port."""
        return f"{HOST}:{self.port}"

    def start(self, target: tuple[str, int]) -> None:
        """Listen, and forward to `target`."""
        self._target = target
        self._thread.start()
        self._run(self._listen())

    def shut(self) -> None:
        """Let nothing through."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def open(self) -> None:
        """Let everything through again."""
        self._loop.call_soon_threadsafe(self._open.set)

    def cut(self) -> None:
        """Break the connections that are there; others may come."""
        self._run(self._break())

    def close(self) -> None:
        """End all connections and the thread."""
        if self._thread.is_alive():
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def _end(self) -> None:
        self._server.close()
        await self._break()

    async def _break(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with suppress(OSError):
            await self._open.wait()
            there, back = await asyncio.open_connection(*(self._target or (HOST, 0)))
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, back))
                    both.create_task(self._pump(there, writer))
            except* OSError:
                pass
            finally:
                back.close()
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        # One side has ended: the other learns it by the end of the group.
        raise ConnectionResetError
