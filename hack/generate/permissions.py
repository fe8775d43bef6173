"""``docs/reference/permissions.md``: what the chart grants, and a test that uses each of it."""

from collections.abc import Iterator
from typing import Final

from hack.permissions import compare
from hack.permissions.grants import Grants, grants

_INTRODUCTION: Final = """\
<!-- Generated from the chart and hack/permissions by `python -m hack.generate`; do not edit. -->

# Permissions

What the installation grants, verb by verb, and a test in which it is used: by the audit log of a
real API server, under the roles of the chart. `make test-integration` compares both at its end.
[security.md](../security.md#the-operators-token) says what narrows it further.

`ferryman-view`, `ferryman-edit`, `ferryman-nodes` and `ferryman-benchmarks` are not here: they are
for people, and no program has them.
"""
#: Who has each role, and where.
_ROLES: Final = {
    "ClusterRole ferryman-operator": "The operator, in the cluster",
    "Role ferryman-models": "The operator, in the namespaces that it serves",
    "Role ferryman-operator": "The operator, in its own namespace",
    "Role ferryman-leases": "The operator, in kube-node-lease",
    "ClusterRole ferryman-agent": "The agent, in the cluster",
}
_NOTES: Final = {
    "Role ferryman-models": (
        "Without `namespaces` these are rules of the ClusterRole, and hold in all namespaces.\n"
        "Admission asks for that of `finalizers` (OwnerReferencesPermissionEnforcement), which\n"
        "stands in no audit log: a test takes it away and sees the refusal.\n"
    ),
    "Role ferryman-operator": (
        "To create Secrets and to list pods it has here with `namespaces` alone: otherwise the\n"
        "ClusterRole grants it.\n"
    ),
}


def permissions_reference() -> str:
    """Return the whole document. Raises ClusterError where the chart does not render."""
    granted, by = grants(), compare.shown()
    return "\n".join([_INTRODUCTION, *(_section(role, granted, by) for role in _ROLES)])


def _section(role: str, granted: Grants, by: compare.Shown) -> str:
    rows = "".join(f"{row}\n" for row in _rows(role, granted, by))
    head = f"## {_ROLES[role]}\n\n`{role}`.\n\n"
    note = f"{_NOTES[role]}\n" if role in _NOTES else ""
    return f"{head}{note}| resource | verb | used in |\n|---|---|---|\n{rows}"


def _rows(role: str, granted: Grants, by: compare.Shown) -> Iterator[str]:
    for permission in sorted(each for each in granted.permissions if each.role == role):
        names = ", ".join(granted.named.get(permission, ()))
        limited = f" called {names}" if names else ""
        module = by.get(str(permission), "nothing")
        yield f"| `{permission.kind}`{limited} | `{permission.verb}` | `{module}` |"
