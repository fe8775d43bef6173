"""Published vulnerabilities of tritonserver, by the release that mends them.

NVIDIA publishes these as security bulletins. The list is kept by hand and looked through at
``REVIEWED``: an image that it says nothing of may have others, and one named by its digest alone
does not tell its release.
"""

import re
from dataclasses import dataclass
from typing import Final

#: Year and month, as in the tags of NVIDIA's images.
Release = tuple[int, int]

REVIEWED: Final = "2026-11-30"


@dataclass(frozen=True, slots=True)
class Advisory:
    """What is known of all releases before one."""

    fixed_in: Release
    names: tuple[str, ...]
    effect: str


ADVISORIES: Final = (
    Advisory(
        (25, 7),
        ("CVE-2025-23310", "CVE-2025-23311", "CVE-2025-23317", "CVE-2025-23319"),
        "a request without credentials ends the server or runs code in it",
    ),
    Advisory(
        (25, 10), ("CVE-2025-33201", "CVE-2025-33211"), "a request without credentials ends it"
    ),
)
#: Product versions of images that are not tagged by release: that of the light CPU image.
_PRODUCT_VERSIONS: Final = {"2.51": (24, 10)}
_RELEASE: Final = re.compile(r"(\d{2})\.(\d{2})(-.*)?")


def release_of(image: str) -> Release | None:
    """Return the release that an image's tag tells; None where it tells none."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    if tag in _PRODUCT_VERSIONS:
        return _PRODUCT_VERSIONS[tag]
    found = _RELEASE.fullmatch(tag)
    return (int(found[1]), int(found[2])) if found else None


def of_image(image: str) -> tuple[Advisory, ...]:
    """Return the advisories that are known of an image's tritonserver."""
    release = release_of(image)
    if release is None:
        return ()
    return tuple(each for each in ADVISORIES if release < each.fixed_in)


def words(image: str) -> str | None:
    """Return what to say of an image whose tritonserver has published vulnerabilities, or None."""
    found = of_image(image)
    if not found:
        return None
    names = ", ".join(name for each in found for name in each.names)
    year, month = max(each.fixed_in for each in found)
    return (
        f"the image {image} has a tritonserver with published vulnerabilities ({names}): "
        f"{found[0].effect}; use {year}.{month:02} or later, or admit only clients that you trust"
    )
