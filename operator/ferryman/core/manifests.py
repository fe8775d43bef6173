"""Objects as the API server sends them, and what Kubernetes' own kinds say in their status."""

from collections.abc import Mapping
from typing import Any

Manifest = Mapping[str, Any]


def condition(
    manifest: Manifest | None, *types: str, status: str = "True"
) -> Mapping[str, str] | None:
    """Return the first condition of one of these types that has this status; None without one."""
    told = ((manifest or {}).get("status") or {}).get("conditions") or ()
    return next((each for each in told if each["type"] in types and each["status"] == status), None)
