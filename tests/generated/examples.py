"""How many examples a generated test tries: some in every run, many more on demand."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import settings

#: ``make test-generated`` sets it.
FACTOR = int(os.environ.get("GENERATED_FACTOR", "1"))


def examples(count: int) -> Callable[[Any], Any]:
    """Return the settings of a test that tries so many examples in an ordinary run."""
    return settings(max_examples=count * FACTOR, deadline=None)
