"""One target under libFuzzer, in a process of its own: ``python -m tests.fuzz.engine TARGET …``.

Atheris instruments Ferryman's code as it is imported, so that an input that reaches something
new is kept and built upon. What follows the target's name are libFuzzer's own options.
"""

from __future__ import annotations

import gc
import logging
import sys
from contextlib import AbstractContextManager

import atheris
from atheris.import_hook import HookManager

from tests.fuzz import limits
from tests.fuzz.mutation import NO_TREES, mutate

#: One in so many inputs is libFuzzer's own change of the bytes: of a text, and of a tree.
_TEXTS_IN_BYTES, _TREES_IN_BYTES = 5, 20
#: Values are made and dropped by the thousand: looking for cycles among them seldom is enough.
_COLLECT_EVERY = 20_000


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough, or until something is wrong."""
    name = sys.argv.pop(1)
    logging.disable()
    is_text = name in NO_TREES
    with _instrumented(compares=is_text):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415
    target = TARGETS[name]
    in_bytes = _TEXTS_IN_BYTES if is_text else _TREES_IN_BYTES

    def change(data: bytes, most_bytes: int, seed: int) -> bytes:
        if seed % in_bytes == 0:
            return bytes(atheris.Mutate(data, most_bytes))
        return mutate(data, most_bytes, seed, target.words)

    # To minimise a corpus, libFuzzer has the shell run its first argument again.
    sys.argv[0] = f"{sys.executable} -m tests.fuzz.engine {name}"
    most = f"-max_len={target.most_bytes}"
    atheris.Setup([*sys.argv, most], target.execute, custom_mutator=change)
    limits.bound_memory()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)
    atheris.Fuzz()


def _instrumented(*, compares: bool) -> AbstractContextManager[object]:
    """Have Ferryman's modules tell of branches, and of what is compared where asked.

    What is compared helps to change bytes, not trees; and each result is kept for good by
    Atheris 3.0.0 (``_trace_cmp``), which of arrays is all that there is of memory in minutes.
    """
    return HookManager({"ferryman"}, set(), True, compares)  # noqa: FBT003


if __name__ == "__main__":
    main()
