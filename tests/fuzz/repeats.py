"""Values that were decided about before: the same value again brings nothing new.

Many inputs differ in what nobody reads, or in a part that is read by itself.
"""

from __future__ import annotations

import json

#: So many are remembered at once.
_MOST = 250_000
_known: set[int] = set()


def is_new(value: object) -> bool:
    """Whether a plain value is none of those that this was asked about before."""
    # Not sorted: a decision may depend on an order that it should not depend on.
    key = hash(json.dumps(value, default=str))
    if key in _known:
        return False
    if len(_known) == _MOST:
        _known.clear()
    _known.add(key)
    return True


def forget() -> None:
    """Have every value be new again."""
    _known.clear()
