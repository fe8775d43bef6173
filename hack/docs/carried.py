"""Files of the repository outside ``docs`` that its pages link to: the site carries them along."""

import os
import re
from collections.abc import Collection
from pathlib import PurePosixPath

#: Where they stand in the site, below which they keep their paths.
FOLDER = "repository"
_TARGET = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")


def rewrite(text: str, page: str, carried: Collection[str]) -> str:
    """Return a page's Markdown with its links to carried files, or from one, as in the site.

    ``page`` is the page's path in the repository, ``carried`` are the files' paths there. Links to
    what the site does not hold stay as they are, so that a strict build tells of them.
    """
    here = PurePosixPath(_in_site(page)).parent.as_posix()

    def moved(match: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(page).parent / match.group(1))
        held = target in carried or target.startswith("docs/")
        return os.path.relpath(_in_site(target), here) if held else match.group(1)

    return _TARGET.sub(moved, text)


def _in_site(path: str) -> str:
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{FOLDER}/{path}"
