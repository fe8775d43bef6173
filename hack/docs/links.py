"""Where links of Markdown files lead, and which lead nowhere; without MkDocs and a network."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER = MarkdownIt("commonmark").enable("table")


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    """Return a page's Markdown as CommonMark reads it."""
    return tuple(_PARSER.parse(page.read_text(encoding="utf-8")))


def targets(page: Path) -> Iterator[str]:
    """Yield what each link and each picture of a page leads to."""
    for token in tokens(page):
        for child in token.children or ():
            if found := child.attrGet("href") or child.attrGet("src"):
                yield unquote(str(found))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors that GitHub gives a page's headings."""
    seen: Counter[str] = Counter()
    found = set()
    for heading, inline in zip(tokens(page), tokens(page)[1:], strict=False):
        if heading.type != "heading_open":
            continue
        slug = re.sub(r"[^\w\- ]", "", shown(inline).lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(found)


def shown(inline: Token) -> str:
    """Return the text of a heading, without its marks."""
    return "".join(child.content for child in inline.children or ())


def broken(page: Path, root: Path) -> Iterator[str]:
    """Yield each link of a page that leads to no file of the repository, or to no heading of it."""
    for target in targets(page):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        there = (page.parent / parts.path).resolve() if parts.path else page
        if not (there.exists() and there.is_relative_to(root)):
            yield f"{page.relative_to(root)}: {target}: no such file"
        elif parts.fragment and parts.fragment not in anchors(there):
            yield f"{page.relative_to(root)}: {target}: no such heading"


def merged_items(page: Path) -> Iterator[int]:
    """Yield the lines of items that Python-Markdown takes for a part of the item before.

    It needs an empty line between an item of several paragraphs and the next one.
    """
    lines = page.read_text(encoding="utf-8").splitlines()
    for item in tokens(page):
        if item.type != "list_item_open" or item.map is None:
            continue
        begin, end = item.map
        several = any(not line.strip() for line in lines[begin : end - 1])
        if several and end < len(lines) and lines[end - 1].strip() and lines[end].strip():
            yield end + 1
