"""What the chart's roles grant to Ferryman's programs: the operator, and the agents."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hack.manifests import render_chart

OPERATOR: Final = "ClusterRole ferryman-operator"
#: With `namespaces` a Role in each of them; otherwise these rules are in the ClusterRole.
MODELS: Final = "Role ferryman-models"

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One verb of one resource, by a role."""

    role: str
    """Kind and name."""
    group: str
    """Empty: the core API."""
    resource: str
    """With its subresource, if it is of one."""
    verb: str

    def __str__(self) -> str:
        """Return how it is written where it is a key."""
        return f"{self.role}: {self.verb} {self.kind}"

    @property
    def kind(self) -> str:
        """The resource with its group, as kubectl names it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


@dataclass(frozen=True, slots=True)
class Grants:
    """What is granted, by either way to install: for all namespaces, or for some."""

    permissions: frozenset[Permission]
    in_cluster: frozenset[Permission]
    """Those of its ClusterRole that the operator has also where it serves some namespaces."""
    roles: Mapping[str, frozenset[str]]
    """The roles that a ServiceAccount is bound to."""
    named: Mapping[Permission, tuple[str, ...]]
    """To which names a permission is limited, where it is."""

    def of_request(self, role: str, group: str, resource: str, verb: str) -> Permission:
        """Return the permission by which a role let a request pass."""
        permission = Permission(role, group, resource, verb)
        is_elsewhere = role == OPERATOR and permission not in self.in_cluster
        return Permission(MODELS, group, resource, verb) if is_elsewhere else permission

    def grant(self, account: str, group: str, resource: str, verb: str) -> bool:
        """Whether any role of a ServiceAccount grants a verb, somewhere."""
        return any(
            Permission(role, group, resource, verb) in self.permissions
            for role in self.roles.get(account, ())
        )


def grants() -> Grants:
    """Return what the chart grants. Raises ClusterError where it does not render."""
    everywhere, in_some = render_chart(), render_chart("--set", "namespaces={team-a}")
    whole, narrow = dict(permissions(everywhere)), dict(permissions(in_some))
    elsewhere = {each: names for each, names in whole.items() if each.role != OPERATOR}
    named = {**elsewhere, **narrow}
    return Grants(
        frozenset(named),
        frozenset(each for each in narrow if each.role == OPERATOR),
        bound([*everywhere, *in_some]),
        {each: names for each, names in named.items() if names},
    )


def permissions(objects: Collection[Manifest]) -> Iterator[tuple[Permission, tuple[str, ...]]]:
    """Return each permission of the roles among these objects, with the names it is limited to.

    Roles that no program is bound to are for people, who do with them what they like.
    """
    held = {role for roles in bound(objects).values() for role in roles}
    for role in objects:
        name = f"{role['kind']} {role['metadata']['name']}"
        if name in held:
            for rule in role["rules"]:
                yield from _of_rule(name, rule)


def _of_rule(role: str, rule: Manifest) -> Iterator[tuple[Permission, tuple[str, ...]]]:
    names = tuple(rule.get("resourceNames", ()))
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield Permission(role, group, resource, verb), names


def bound(objects: Collection[Manifest]) -> Mapping[str, frozenset[str]]:
    """Return the roles of each ServiceAccount that one is bound to."""
    found: dict[str, frozenset[str]] = {}
    for binding in objects:
        if binding["kind"] in {"ClusterRoleBinding", "RoleBinding"}:
            role = f"{binding['roleRef']['kind']} {binding['roleRef']['name']}"
            for subject in binding["subjects"]:
                account = subject["name"]
                found[account] = found.get(account, frozenset()) | {role}
    return found
