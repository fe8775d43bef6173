"""What pages have readers apply and type: objects of Ferryman's API, and commands."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from ferryman.api import names
from hack.docs.blocks import Block, blocks

_PROMPT: Final = "$ "
_SHELLS: Final = ("sh", "console")
_OURS: Final = (["kubectl", "ferryman"], ["ferryman"])


def objects(page: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield Ferryman's own objects of a page, each with the line of its block.

    Raises yaml.YAMLError for a block that is called YAML and is none.
    """
    for block in blocks(page):
        if block.language != "yaml":
            continue
        for found in yaml.safe_load_all(block.text):
            if isinstance(found, dict) and found.get("apiVersion") == names.API_VERSION:
                yield block.line, found


def commands(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the arguments of each command of Ferryman's that a page has typed, with its line."""
    for block in blocks(page):
        if block.language in _SHELLS:
            for typed in _typed(block):
                for program in _OURS:
                    if typed[: len(program)] == program:
                        yield block.line, typed[len(program) :]


def _typed(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command of a block; of a session only what follows a prompt."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if block.language == "sh" or line.startswith(_PROMPT):
            yield shlex.split(line.removeprefix(_PROMPT), comments=True)
