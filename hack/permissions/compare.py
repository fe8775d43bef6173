"""Whether what is granted and what is used are the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from hack.permissions.grants import Grants, Permission
from hack.permissions.uses import Record, Use, permission_of

#: Which test module uses each permission.
USED: Final = Path(__file__).with_name("used.json")
#: What admission asks for, and so stands in no audit log. Tests take it away and see a refusal.
UNSEEN: Final[Mapping[str, str]] = {
    f"Role ferryman-models: update {kind}/finalizers.serving.ferryman.dev": (
        "tests/integration/test_permissions.py"
    )
    for kind in ("inferencemodels", "inferencepipelines")
}

Shown = Mapping[str, str]


def shown() -> Shown:
    """Return the module that uses a permission, for each."""
    found: dict[str, str] = json.loads(USED.read_text(encoding="utf-8"))
    return found


def unshown(grants: Grants, by: Shown) -> Iterator[str]:
    """Say what is granted and nothing uses, or said to be used and not granted."""
    granted = {str(each) for each in grants.permissions}
    for key in sorted(granted - by.keys()):
        yield f"{key}: granted, and no test uses it"
    for key in sorted(by.keys() - granted):
        yield f"{key}: not granted, but {by[key]} is said to use it"


def faults(grants: Grants, by: Shown, seen: Sequence[Record]) -> Iterator[str]:
    """Say where the records differ from the grants and from what is said to use them.

    Of a module that was not run nothing is said; nor of one that did without for once, as what
    waits for silence may, while another module uses the permission.
    """
    yield from unshown(grants, by)
    uses = by_module(grants, seen)
    for module, (permissions, refused) in uses.items():
        for permission in sorted(permissions - grants.permissions):
            yield f"{module}: {permission}: used, and not granted by the chart"
        for use in sorted(refused):
            yield f"{module}: {use.words}: refused"
    all_used = {str(each) for permissions, _ in uses.values() for each in permissions}
    for key, module in sorted(by.items()):
        if module in uses and key not in UNSEEN and key not in all_used:
            yield f"{key}: {module} does not use it any more"


def by_module(
    grants: Grants, seen: Iterable[Record]
) -> dict[str, tuple[frozenset[Permission], frozenset[Use]]]:
    """Return what each module used, and what it was refused although the chart grants it not.

    What the chart grants and a test took away for a while is no fault.
    """
    found: dict[str, tuple[frozenset[Permission], frozenset[Use]]] = {}
    for record in seen:
        used, refused = found.get(record.module, (frozenset(), frozenset()))
        allowed = {permission_of(grants, use) for use in record.uses if use.role}
        denied = {
            use
            for use in record.uses
            if not use.role and not grants.grant(use.account, use.group, use.resource, use.verb)
        }
        found[record.module] = (used | allowed, refused | denied)
    return found


def chosen(grants: Grants, by: Shown, seen: Sequence[Record]) -> dict[str, str]:
    """Return a module for each permission: that of before while it uses it, else the first."""
    uses = by_module(grants, seen)
    found = dict(UNSEEN)
    for permission in sorted(grants.permissions):
        key = str(permission)
        modules = sorted(module for module, (used, _) in uses.items() if permission in used)
        before = by.get(key)
        if before is not None and (before in modules or before not in uses):
            found[key] = before
        elif modules:
            found.setdefault(key, modules[0])
    return dict(sorted(found.items()))
