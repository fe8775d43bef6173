"""Whether a specification differs from another one in more than how many replicas it asks for.

An autoscaler writes ``spec.replicas``, and ``metadata.generation`` rises with it as with any other
change; what serves is still what is specified.
"""

import json
from hashlib import sha256
from typing import Final

from ferryman.api.base import ApiType

#: Fields that say how many replicas there are to be, and nothing of what they are.
_NUMBERS: Final = ("replicas", "scaling")
_DIGITS: Final = 16


def digest(spec: ApiType) -> str:
    """Return a digest of a specification but for the number of replicas."""
    # Not as JSON: a configuration from a file may have half characters, which JSON escapes.
    stated = spec.model_dump(by_alias=True, exclude_none=True)
    fields = {name: value for name, value in stated.items() if name not in _NUMBERS}
    return sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]
