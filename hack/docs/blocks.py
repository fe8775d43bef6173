"""The fenced blocks of a page, so that tests take what they run and read from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hack.docs import links


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, its line, and the ``##`` heading above it."""

    section: str
    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page in their order, those in lists and quotes too."""
    section = ""
    tokens = links.tokens(page)
    for token, following in zip(tokens, (*tokens[1:], None), strict=True):
        if token.type == "heading_open" and token.tag == "h2" and following is not None:
            section = links.shown(following)
        elif token.type == "fence" and token.map is not None:
            language = token.info.split()[0] if token.info.strip() else ""
            yield Block(section, language, token.content, token.map[0] + 1)
