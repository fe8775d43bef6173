"""A forwarder of TCP connections that does what a Service does: it spreads new ones over endpoints.

Connections that are there stay where they are when an endpoint is taken away, as with kube-proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import count
from typing import Self

CHUNK_BYTES = 2**16


class Forwarder:
    """Listens on a loopback port of its own and forwards to `endpoints`, in turn."""

    def __init__(self, *endpoints: str) -> None:
        """Prepare to forward to these HOST:PORT; the list may be changed at any time."""
        self.endpoints = list(endpoints)
        self.opened = 0
        """Connections that clients have opened."""
        self._turn = count()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """Host and port for clients."""
        assert self._server is not None, "the forwarder was not entered"
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        host, _, port = self.endpoints[next(self._turn) % len(self.endpoints)].rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        self._open |= {writer, there_writer}
        with contextlib.suppress(asyncio.CancelledError):  # at the end of the test's loop
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        self._open -= {writer, there_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass everything on, and the end of it as well."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, OSError):
        writer.close()
