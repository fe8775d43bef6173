"""Objects of the API server as texts: what is too large or too deep is replaced by a stub.

A stub is what can be said of an object without reading it: what it is called, its labels, its
status, an empty specification, and under ``UNREAD`` why the rest is missing.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ferryman.api import resources
from ferryman.clients.bounded.text import (
    Bounds,
    ListSplitter,
    Size,
    TooLargeError,
    measure,
    members,
)

_log = logging.getLogger(__name__)

#: The member of a stub that says why it is one. The API server stores no such field of any kind.
UNREAD: Final = "unread"

#: Any object that is read. Ours have some hundred values, Nodes and pods up to two thousand.
OBJECT: Final = Bounds(size_bytes=128 * 1024, depth=64, values=8_192)
#: Of a stub's metadata, each field.
_FIELD: Final = Bounds(size_bytes=16 * 1024, depth=16, values=512)
_STATUS: Final = Bounds(size_bytes=64 * 1024, depth=32, values=4_096)
#: Objects up to here are kept however many a namespace has: ResourceQuotas bound their number.
_SMALL: Final = Bounds(size_bytes=16 * 1024, depth=64, values=1_024)
#: What Python makes of a value, on average: 60 to 150 bytes.
_VALUE_BYTES: Final = 100
#: What the larger objects of ours may take once parsed: of one namespace, and of all.
NAMESPACE_BYTES: Final = 16 * 2**20
ALL_BYTES: Final = 96 * 2**20

_KEPT: Final = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "ownerReferences",
)
_UIDS: Final = re.compile(rb'"uid":"([^"]*)"')
_RECONCILED: Final = frozenset(r.plural for r in resources.ALL if r.scope == "Namespaced")


def stub(text: bytes, why: str) -> dict[str, Any]:
    """Return what can be said of an object without reading it."""
    parts = members(text)
    told = members(parts.get("metadata", b"{}"))
    found: dict[str, Any] = {
        "metadata": dict(_readable((name, told[name], _FIELD) for name in _KEPT if name in told)),
        "spec": {},
        UNREAD: f"it is too large to be read: it has {why}",
    }
    outer = [("apiVersion", _FIELD), ("kind", _FIELD), ("status", _STATUS)]
    return found | dict(_readable((n, parts[n], most) for n, most in outer if n in parts))


def _readable(texts: Iterator[tuple[str, bytes, Bounds]]) -> Iterator[tuple[str, Any]]:
    for name, text, most in texts:
        try:
            yield name, most.loads(text)
        except TooLargeError:
            continue  # said by the stub as a whole


def bounded(text: bytes) -> bytes:
    """Return an object's text, or that of its stub where it is out of bounds."""
    try:
        OBJECT.check(text)
    except TooLargeError as error:
        return json.dumps(stub(text, str(error))).encode()
    return text


def read(text: bytes) -> Any:  # noqa: ANN401  JSON
    """Return an object, or its stub. Raises ValueError for what is no JSON."""
    return json.loads(bounded(text))


def read_items(text: bytes) -> list[Any]:
    """Return the objects of a list, or their stubs."""
    return [read(item) for item in ListSplitter.start().feed(text)]


@dataclass(frozen=True, slots=True)
class Unread:
    """An object that is not read."""

    plural: str
    namespace: str
    name: str
    why: str


@dataclass(slots=True)
class Guard:
    """Lets the objects of watches through, or their stubs, and knows of which there are stubs.

    ``on_change`` is called with the number of objects of a kind (its plural) that are not read.
    """

    on_change: Callable[[str, int], None] = lambda _plural, _count: None
    _unread: dict[str, Unread] = field(default_factory=dict)
    _held: dict[str, tuple[str, int]] = field(default_factory=dict)
    """uid -> namespace and bytes of the objects of ours that are not small."""
    _totals: Counter[str] = field(default_factory=Counter)

    def line(self, line: bytes, plural: str) -> bytes:
        """Return a line of a watch, or one with its object's stub."""
        why, cost_bytes = _judge(line)
        if not why and not cost_bytes and not self._knows(line):
            return line
        event = members(line)
        gone = event.get("type") == b'"DELETED"'
        found = self.item(event.get("object", b"{}"), plural, gone=gone)
        return b'{"type":%b,"object":%b}' % (event.get("type", b'"ERROR"'), found)

    def item(self, text: bytes, plural: str, *, gone: bool = False) -> bytes:
        """Return an object of a list, or its stub; ``gone`` where it was deleted."""
        why, cost_bytes = _judge(text)
        if not why and not cost_bytes and not self._knows(text):
            return text
        made = stub(text, why)
        metadata = made["metadata"]
        uid, namespace = str(metadata.get("uid", "")), str(metadata.get("namespace", ""))
        self._release(uid)
        if not why and not gone and plural in _RECONCILED:
            why = self._hold(uid, namespace, cost_bytes)
            made = stub(text, why)
        about = Unread(plural, namespace, str(metadata.get("name", "")), why)
        self._note(uid, about if why and not gone else None)
        return json.dumps(made).encode() if why else text

    def _knows(self, text: bytes) -> bool:
        """Whether a text speaks of an object that was out of the common: it may be so no more."""
        if not self._unread and not self._held:
            return False
        uids = {uid.decode(errors="replace") for uid in _UIDS.findall(text)}
        return not uids.isdisjoint(self._unread) or not uids.isdisjoint(self._held)

    def _hold(self, uid: str, namespace: str, cost_bytes: int) -> str:
        """Count an object of ours; return why it may not be kept, or nothing."""
        if not cost_bytes:
            return ""
        mine, everybody = self._totals[namespace] + cost_bytes, self._totals.total() + cost_bytes
        if mine > NAMESPACE_BYTES or everybody > ALL_BYTES:
            return (
                f"{cost_bytes:_} bytes once parsed, and the larger objects of its namespace "
                f"already {self._totals[namespace]:_} of {NAMESPACE_BYTES:_}"
            )
        self._held[uid] = namespace, cost_bytes
        self._totals[namespace] = mine
        return ""

    def _release(self, uid: str) -> None:
        namespace, cost_bytes = self._held.pop(uid, ("", 0))
        self._totals[namespace] -= cost_bytes
        if not self._totals[namespace]:
            del self._totals[namespace]

    def _note(self, uid: str, about: Unread | None) -> None:
        before = self._unread.pop(uid, None)
        if about is not None:
            self._unread[uid] = about
            if about != before:
                where = f"{about.namespace}/{about.name}".lstrip("/")
                extra = {"kind": about.plural, "object": where, "why": about.why}
                _log.warning("an object is too large to be read", extra=extra)
        for plural in {found.plural for found in (before, about) if found is not None}:
            count = sum(unread.plural == plural for unread in self._unread.values())
            self.on_change(plural, count)


def _judge(text: bytes) -> tuple[str, int]:
    """Return why a text is out of bounds, or nothing, and what it takes unless it is small."""
    try:
        _SMALL.check(text)
    except TooLargeError:
        pass
    else:
        return "", 0
    try:
        OBJECT.check(text)
    except TooLargeError as error:
        return str(error), 0
    found: Size = measure(text)
    return "", len(text) + _VALUE_BYTES * found.values
