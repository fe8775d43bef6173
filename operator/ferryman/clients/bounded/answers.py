"""Answers of the API server, read within bounds: as a whole, item by item, or line by line."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Self

import aiohttp

from ferryman.clients.bounded.objects import Guard, bounded
from ferryman.clients.bounded.text import ListSplitter

_PIECE_BYTES: Final = 64 * 1024
#: What etcd stores is smaller; so is discovery.
_MAX_OBJECT_BYTES: Final = 8 * 2**20
_FIRST_ERROR: Final = 400

Admit = Callable[[bytes], bytes]
"""Returns an object's text, or that of its stub."""


async def read_object(content: aiohttp.StreamReader) -> bytes:
    """Return an answer that is one object, or its stub. Raises ClientPayloadError."""
    answer = bytearray()
    async for piece in content.iter_chunked(_PIECE_BYTES):
        answer += piece
        if len(answer) > _MAX_OBJECT_BYTES:
            raise aiohttp.ClientPayloadError(f"an answer of more than {_MAX_OBJECT_BYTES} bytes")
    return bounded(bytes(answer))


async def read_list(content: aiohttp.StreamReader, admit: Admit = bounded) -> dict[str, Any]:
    """Return an answer that is a list, of which one item at a time is held as a text.

    Raises ClientPayloadError for an item that no API server stores.
    """
    splitter, items = ListSplitter.start(), []
    async for piece in content.iter_chunked(_PIECE_BYTES):
        items += [json.loads(admit(item)) for item in splitter.feed(piece)]
        if splitter.pending_bytes > _MAX_OBJECT_BYTES:
            raise aiohttp.ClientPayloadError(f"an item of more than {_MAX_OBJECT_BYTES} bytes")
    found: dict[str, Any] = json.loads(splitter.envelope)
    return found | {"items": items}


class _Lines:
    """The content of a watch, of whose lines those out of bounds are replaced."""

    def __init__(self, content: aiohttp.StreamReader, admit: Admit) -> None:
        self._content = content
        self._admit = admit

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  what a StreamReader has
        return getattr(self._content, name)

    async def iter_chunked(self, size_bytes: int) -> AsyncIterator[bytes]:
        """Yield whole lines."""
        rest = bytearray()
        async for piece in self._content.iter_chunked(size_bytes):
            rest += piece
            _, newline, after = piece.rpartition(b"\n")
            if newline:
                lines = bytes(rest[: len(rest) - len(after)]).split(b"\n")
                rest = bytearray(after)
                yield b"\n".join(self._admit(line) if line else line for line in lines)
            elif len(rest) > _MAX_OBJECT_BYTES:
                raise aiohttp.ClientPayloadError(f"a line of more than {_MAX_OBJECT_BYTES} bytes")


def response_class(guard: Guard) -> type[aiohttp.ClientResponse]:
    """Return the class of a session's responses: what they give has passed the guard."""

    class Bounded(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> Self:  # noqa: ANN401  aiohttp's own
            await super().start(connection)
            if self._query("watch") and self.status < _FIRST_ERROR:
                lines: Any = _Lines(self.content, self._admit_line)
                self.content = lines
            return self

        async def json(self, **_: object) -> Any:  # noqa: ANN401  JSON
            """Return what the answer says."""
            if self._query("limit") and self.status < _FIRST_ERROR:
                return await read_list(self.content, self._admit_item)
            if self._body is None:
                self._body = await read_object(self.content)
            return json.loads(self._body or b"null")

        def _query(self, name: str) -> bool:
            return name in self.url.query

        def _admit_line(self, line: bytes) -> bytes:
            return guard.line(line, self._plural)

        def _admit_item(self, item: bytes) -> bytes:
            return guard.item(item, self._plural)

        @property
        def _plural(self) -> str:
            return self.url.path.rpartition("/")[2]

    return Bounded
