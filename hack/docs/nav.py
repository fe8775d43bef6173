"""The table of contents: an entry that ends in ``/`` stands for all pages of a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: MkDocs takes a page of this name for the page of its folder, as GitHub does.
INDEX = "README.md"


def expand(nav: list[Any], docs: Path) -> list[Any]:
    """Return the contents with each folder replaced by its pages, its own page first.

    Raises ValueError for a folder that holds no page.
    """
    return [entry for given in nav for entry in _entries(given, docs)]


def _entries(entry: Any, docs: Path) -> list[Any]:  # noqa: ANN401  YAML: texts, lists, mappings
    if isinstance(entry, str):
        return list(_folder(entry, docs)) if entry.endswith("/") else [entry]
    ((title, what),) = entry.items()
    inner = what if isinstance(what, list) else [what]
    if inner is not what and not str(what).endswith("/"):
        return [entry]
    return [{title: expand(inner, docs)}]


def _folder(entry: str, docs: Path) -> Iterator[str]:
    found = sorted((docs / entry).glob("*.md"), key=lambda page: (page.name != INDEX, page.name))
    if not found:
        raise ValueError(f"mkdocs.yml: {entry} holds no page")
    return (page.relative_to(docs).as_posix() for page in found)


def pages(nav: list[Any]) -> Iterator[str]:
    """Yield the path of every page of expanded contents, in their order."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            for what in entry.values():
                yield from pages(what if isinstance(what, list) else [what])
