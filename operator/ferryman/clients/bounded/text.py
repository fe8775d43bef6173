"""JSON of which others write parts: how large and deep it is, known before it is parsed.

Python's parser ends with RecursionError at a depth of about a thousand, and what it makes of an
object takes up to thirty times the text's bytes. Here a text is measured first, in time and memory
linear in its length whatever it holds, and cut into its members without being parsed.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_QUOTE, _BACKSLASH, _COMMA, _OPEN, _CLOSE = b'"\\,{}'
#: Turns "[" into "{" and "]" into "}", and no other byte into either.
_CURLY: Final = 0x20


class TooLargeError(ValueError):
    """A text is beyond its bounds; the message says by what."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a JSON text may be."""

    size_bytes: int
    depth: int
    """Objects and lists within one another."""
    values: int
    """Entries of objects and lists: of each, Python makes a value."""

    def check(self, text: bytes) -> None:
        """Raise TooLargeError for a text beyond the bounds."""
        if len(text) > self.size_bytes:
            raise TooLargeError(f"{len(text):_} bytes, {self.size_bytes:_} at most")
        opened = text.count(b"{") + text.count(b"[")
        if opened <= self.depth and opened + text.count(b",") <= self.values:
            return  # most are: brackets and commas in strings are counted as well
        found = measure(text)
        if found.depth > self.depth:
            raise TooLargeError(f"{found.depth:_} levels deep, {self.depth} at most")
        if found.values > self.values:
            raise TooLargeError(f"{found.values:_} values, {self.values:_} at most")

    def loads(self, text: bytes) -> Any:  # noqa: ANN401  JSON
        """Return what a text within the bounds says. Raises TooLargeError, ValueError."""
        self.check(text)
        return json.loads(text)


@dataclass(frozen=True, slots=True)
class Size:
    """What a text comes to."""

    depth: int
    values: int


def measure(text: bytes) -> Size:
    """Return the depth of a text and an upper bound of the values in it."""
    structure = _Structure.of(text)
    opened = int(np.count_nonzero(structure.steps == 1))
    commas = int(np.count_nonzero(structure.outside & (structure.codes == _COMMA)))
    return Size(int(structure.depths.max(initial=0)), opened + commas)


def members(text: bytes) -> dict[str, bytes]:
    """Return the members of an object as texts, not parsed; empty for anything else.

    Of equal names the last one counts, as for Python's parser.
    """
    structure = _Structure.of(text)
    commas = structure.outside & (structure.codes == _COMMA) & (structure.depths == 1)
    start, end = text.find(b"{"), text.rfind(b"}")
    if start < 0 or end < start or text[:start].strip():
        return {}
    cuts = [start, *np.flatnonzero(commas).tolist(), end]
    found: dict[str, bytes] = {}
    for before, after in pairwise(cuts):
        name, value = _member(text[before + 1 : after])
        if name is not None:
            found[name] = value
    return found


#: A string of JSON; no place in it can be read in two ways, so that it takes as long as it is.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def _member(text: bytes) -> tuple[str | None, bytes]:
    """Cut ``"name": value``; None for the name where there is none (an empty object)."""
    name = _STRING.search(text)
    if name is None:
        return None, b""
    _, _, value = text[name.end() :].partition(b":")
    return str(json.loads(name[0])), value.strip()


@dataclass(slots=True)
class ListSplitter:
    """Cuts a Kubernetes list that arrives in pieces into its items, holding one at a time.

    All that the API server puts around items is less than three levels deep, the items are not.
    """

    envelope: bytearray
    """What is not in items, each of which is a 0 here."""
    _item: bytearray
    _held: bytes = b""
    """The backslashes at the end of the last piece: whether they escape is not known yet."""
    _depth: int = 0
    _inside: bool = False

    @classmethod
    def start(cls) -> "ListSplitter":
        """Return one that has seen nothing."""
        return cls(bytearray(), bytearray())

    @property
    def pending_bytes(self) -> int:
        """How much is held: of an item, or of what is around the items."""
        return len(self._item) + len(self._held) + len(self.envelope)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the items that end in the next piece."""
        piece = self._held + piece
        whole = piece.rstrip(b"\\")
        self._held, piece = piece[len(whole) :], whole
        if not piece:
            return
        structure = _Structure.of(piece, inside=self._inside, depth=self._depth)
        self._inside, self._depth = structure.ends_inside, int(structure.depths[-1])
        # Of an item, all bytes but its last, "}", are at least three levels deep.
        deep = structure.depths >= _ITEM_DEPTH
        edges = np.flatnonzero(np.diff(deep.astype(np.int8), prepend=bool(self._item)))
        at = 0
        for edge in edges.tolist():
            if deep[edge]:
                self.envelope += piece[at:edge]
                at = edge
            else:
                self._item += piece[at : edge + 1]
                at = edge + 1
                self.envelope += b"0"
                yield bytes(self._item)
                self._item = bytearray()
        (self._item if deep[-1] else self.envelope).extend(piece[at:])


_ITEM_DEPTH: Final = 3


@dataclass(frozen=True, slots=True)
class _Structure:
    """Every byte of a text: what it is outside strings, and how deep it stands.

    An opening bracket is as deep as what it opens, a closing one as what is around it.
    """

    codes: npt.NDArray[np.uint8]
    outside: npt.NDArray[np.bool_]
    steps: npt.NDArray[np.int8]
    """1 where an object or list opens, -1 where one closes."""
    depths: npt.NDArray[np.int32]
    ends_inside: bool
    """Whether the text ends within a string."""

    @classmethod
    def of(cls, text: bytes, *, inside: bool = False, depth: int = 0) -> "_Structure":
        codes = np.frombuffer(text, np.uint8)
        quotes = codes == _QUOTE
        if b"\\" in text:
            quotes &= ~_escaped(codes)
        quoted = np.cumsum(quotes, dtype=np.int32)
        quoted += inside
        outside = (quoted & 1) == 0
        curly = codes | _CURLY
        steps = ((curly == _OPEN) & outside).astype(np.int8)
        steps -= (curly == _CLOSE) & outside
        depths = np.cumsum(steps, dtype=np.int32)
        depths += depth
        ends_inside = inside if not len(text) else not bool(outside[-1])
        return cls(codes, outside, steps, depths, ends_inside)


def _escaped(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which bytes stand behind an odd number of backslashes."""
    places = np.arange(len(codes), dtype=np.int32)
    other = np.maximum.accumulate(np.where(codes == _BACKSLASH, np.int32(-1), places))
    run = np.zeros(len(codes), np.int32)
    run[1:] = places[:-1] - other[:-1]
    odd: npt.NDArray[np.bool_] = (run & 1) == 1
    return odd
