"""Other inputs made of one: trees of JSON are changed as trees, everything else as bytes.

Bytes alone would hardly ever get past a parser. The same seed makes the same change of the same
input, so that runs can be repeated.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

#: Where the one thing or the other has gone wrong in parsers before.
NUMBERS = (
    *(0, 1, -1, 2, 255, 2**31 - 1, 2**31, -(2**31) - 1, 2**32, 2**63 - 1, 2**63, -(2**63) - 1),
    *(2**64, 10**30, 0.5, -0.0, 1e-300, 1e300, -1e300, 1e-9, 128, 1024, 65536),
)
TEXTS = (
    *("", " ", "a", "-", "0", "1", "-1", "1e400", "nan", "inf", "null", "true", "~", "..", "../x"),
    *("\x00", "\x1b[2J", "\x1b]0;x\x07", "\x9b31m", "\u202e", "\u200b", "\ud800", "\U000e0041"),
    *("é", "𝄞", "%s{}", "{0}", "'\"\\", "\r\n", "\t", "٣", "²", "1_000", "+5", "0x10", "1Gi", "5m"),
    *("2026-11-21T13:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-11-21"),
    *("2026-11-21T13:00:00", "2026-11-21T13:00:00+14:00", "2026-13-45T99:99:99Z", "x" * 300),
)
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, None, True, False, [], {})
#: What means something in one of the formats.
PIECES = (
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\n", b"\r", b"\x00", b"\xff", b"#"),
    *(b"&a", b"*a", b"<<: *a", b"!!", b"!!float ", b"!!int ", b"!!binary ", b"!!set ", b"- "),
    *(b"? ", b"|", b">", b"---\n", b"nan", b"inf", b"1e999", b"0x", b"\\u0000", b"\\ud800"),
    *(b'="', b'",', b"} ", b"\xc2\x9b", b"\x1b["),
)
#: Targets whose inputs are texts or bytes: they are changed as such, whatever they are by chance.
NO_TREES = frozenset({"archives", "documents", "metrics", "pbtxt", "statistics", "terminal"})
#: Of the changes of a tree, so many are of its bytes; most of what comes of that is no tree.
_IN_BYTES = 0.05
_MOST_TRIES = 3
#: Of a line before a tree: of commands, which one it is.
_LONGEST_HEAD = 4
_MOST_CHANGES = 4
_MOST_COPIES = 40
_DEEPEST = 120
_MOST_NODES = 3_000

Place = tuple[Any, Any]
"""A container, and the key or index of one of its values."""


def mutate(data: bytes, most_bytes: int, seed: int, words: Sequence[str] = ()) -> bytes:
    """Return another input. ``words`` are names that the format knows.

    What is in the line before a tree stays as it is.
    """
    choose = random.Random(seed)
    for _ in range(_MOST_TRIES):
        head, tree = (b"", None) if choose.random() < _IN_BYTES else _with_head(data)
        made = _bytes(data, choose) if tree is None else head + _changed(tree, choose, words)
        if len(made) <= most_bytes:
            return made
    return made[:most_bytes]  # which of a tree leaves none


def _with_head(data: bytes) -> tuple[bytes, Any]:
    """Return the tree that a text states, and what comes before it: nothing, or a short line."""
    tree = _tree(data)
    end = data.find(b"\n", 0, _LONGEST_HEAD) + 1
    if tree is None and end:
        return data[:end], _tree(data[end:])
    return b"", tree


def _tree(data: bytes) -> Any:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _changed(tree: Any, choose: random.Random, words: Sequence[str]) -> bytes:
    for _ in range(choose.randint(1, _MOST_CHANGES)):
        places = list(_places(tree))
        if places:
            choose.choice(_CHANGES)(tree, choose.choice(places), places, choose, words)
    try:
        text = json.dumps(tree, ensure_ascii=choose.random() < 0.5, separators=(",", ":"))
    except RecursionError:
        return b"[]"
    return text.encode(errors="surrogatepass")


def _places(tree: Any) -> Iterator[Place]:
    left, seen = [tree], 0
    while left and seen < _MOST_NODES:
        here = left.pop()
        for key, value in here.items() if isinstance(here, dict) else enumerate(here):
            seen += 1
            yield here, key
            if isinstance(value, dict | list):
                left.append(value)


def _value(choose: random.Random) -> Any:
    """Return a value that is nobody else's: containers are changed in their places."""
    return copy(choose.choice(VALUES))


def _replace(_tree: Any, at: Place, _all: Any, choose: random.Random, _words: Any) -> None:
    at[0][at[1]] = _value(choose)


def _adjust(_tree: Any, at: Place, _all: Any, choose: random.Random, _words: Any) -> None:
    """Change a value a little."""
    here, key = at
    value = here[key]
    if isinstance(value, bool) or value is None:
        here[key] = choose.choice([True, False, None])
    elif isinstance(value, int | float):
        here[key] = choose.choice([value + 1, value - 1, -value, value * 10, str(value), [value]])
    elif isinstance(value, str):
        cut = choose.randint(0, len(value))
        some = choose.choice(TEXTS)
        here[key] = choose.choice([value[:cut] + some + value[cut:], value[:cut], value + value])
    elif isinstance(value, list):
        value *= choose.randint(0, 3)
    else:
        here[key] = [value]


def _remove(_tree: Any, at: Place, _all: Any, _choose: Any, _words: Any) -> None:
    here, key = at
    if isinstance(here, list):
        here.pop(key)
    else:
        here.pop(key, None)


def _graft(tree: Any, at: Place, all_: Sequence[Place], choose: random.Random, _words: Any) -> None:
    """Put a copy of one part in the place of another."""
    here, key = choose.choice(all_)
    source = json.dumps(here[key])
    if len(source) < 2_000:
        at[0][at[1]] = json.loads(source)


def _add(_tree: Any, at: Place, _all: Any, choose: random.Random, words: Sequence[str]) -> None:
    """Put a value under a name that is known, or into a list."""
    value = at[0][at[1]]
    here = value if isinstance(value, dict | list) else at[0]
    if isinstance(here, dict):
        here[choose.choice([*words, *TEXTS])] = _value(choose)
    else:
        here.insert(choose.randint(0, len(here)), _value(choose))


def _repeat(_tree: Any, at: Place, _all: Any, choose: random.Random, _words: Any) -> None:
    value = json.dumps(at[0][at[1]])
    if len(value) < 200:
        at[0][at[1]] = [json.loads(value) for _ in range(choose.randint(1, _MOST_COPIES))]


def _nest(_tree: Any, at: Place, _all: Any, choose: random.Random, _words: Any) -> None:
    here, key = at
    for _ in range(choose.randint(1, _DEEPEST)):
        here[key] = [here[key]] if choose.random() < 0.5 else {"a": here[key]}


_CHANGES: tuple[Callable[..., None], ...] = (
    *(_replace, _replace, _adjust, _adjust, _adjust, _remove, _graft, _graft, _add, _add),
    *(_repeat, _nest),
)


def _bytes(data: bytes, choose: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(choose.randint(1, _MOST_CHANGES)):
        at, to = sorted(choose.choices(range(len(made) + 1), k=2))
        match choose.randrange(6):
            case 0 if made:
                made[min(at, len(made) - 1)] = choose.randrange(256)
            case 1:
                del made[at : min(to, at + 64)]
            case 2:
                made[at:at] = made[at : min(to, at + 256)]
            case 3:
                made[at:at] = choose.choice(TEXTS).encode(errors="surrogatepass")
            case 4:
                made[at:at] = str(choose.choice(NUMBERS)).encode()
            case _:
                made[at:at] = choose.choice(PIECES) * choose.choice([1, 1, 1, 2, 200])
    return bytes(made)
