"""One target under libFuzzer, in a process of its own: ``python -m tests.fuzz.engine TARGET …``.

Atheris instruments Ferryman's code as it is imported, so that an input that reaches something
new is kept and built upon. What follows the target's name are libFuzzer's own options.
"""

from __future__ import annotations

import logging
import sys

import atheris

from tests.fuzz import limits
from tests.fuzz.mutation import mutate


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough, or until something is wrong."""
    name = sys.argv.pop(1)
    logging.disable()
    with atheris.instrument_imports(include=["ferryman"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415
    target = TARGETS[name]

    def change(data: bytes, most_bytes: int, seed: int) -> bytes:
        if seed % 5 == 0:
            return bytes(atheris.Mutate(data, most_bytes))
        return mutate(data, most_bytes, seed, target.words)

    # To minimise a corpus, libFuzzer has the shell run its first argument again.
    sys.argv[0] = f"{sys.executable} -m tests.fuzz.engine {name}"
    most = f"-max_len={target.most_bytes}"
    atheris.Setup([*sys.argv, most], target.execute, custom_mutator=change)
    limits.bound_memory()
    atheris.Fuzz()


if __name__ == "__main__":
    main()
