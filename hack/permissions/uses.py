"""What the programs of a test used of their permissions, by the audit log of its API server.

The API server writes down who asked for what and which role let it pass. What the test itself sent
with a program's token (by kubectl, or by Python's own HTTP client) is no use by the program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hack.permissions.grants import Grants, Permission

ROOT: Final = Path(__file__).parents[2]
#: One file for each API server of a test module.
RECORDS: Final = ROOT / "build" / "audit"
#: One line for each request of our programs. A watch is written down when it begins, since it may
#: never end. The first stage is left out: nothing is known then.
POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:ferryman-system"]},
        {"level": "None"},
    ],
}
#: Who sends the requests of a test itself.
OF_TESTS: Final = ("kubectl/", "Python-urllib/")
CREATED: Final = 201
_ALLOWED_BY: Final = re.compile(r' of (ClusterRole|Role) "([^"]+)" to ')
_ACCOUNT: Final = re.compile(r"system:serviceaccount:[^:]+:(.+)")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """A request that RBAC let pass, or refused."""

    account: str
    """The ServiceAccount's name."""
    role: str
    """What let it pass; empty: refused."""
    group: str
    resource: str
    verb: str

    @property
    def words(self) -> str:
        """Who asked for what."""
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.account}: {self.verb} {kind}"


@dataclass(frozen=True, slots=True)
class Record:
    """What one API server saw while a test module ran."""

    module: str
    """Its path in the repository."""
    uses: frozenset[Use]


def options(folder: Path) -> dict[str, object]:
    """Return the API server's options that have it write an audit log into a folder."""
    policy = folder / "audit-policy.json"  # JSON is YAML
    policy.write_text(json.dumps(POLICY))
    return {
        "audit-policy-file": policy,
        "audit-log-path": folder / "audit.log",
        # Mebibytes, and so many files beside the present one.
        "audit-log-maxsize": 64,
        "audit-log-maxbackup": 3,
    }


def of_log(lines: Iterable[str]) -> Iterator[Use]:
    """Return what an audit log tells; a use that is repeated comes as often."""
    for line in lines:
        event = json.loads(line)
        if not event.get("userAgent", "").startswith(OF_TESTS):
            yield from of_event(event)


def of_event(event: Json) -> Iterator[Use]:
    """Return the uses of one request: an apply that created something needed two permissions."""
    about = event.get("objectRef", {})
    found = _ACCOUNT.fullmatch(event["user"]["username"])
    if "resource" not in about or found is None:
        return  # the version, what kinds there are
    subresource = f"/{about['subresource']}" if "subresource" in about else ""
    role = _role(event.get("annotations", {}))
    verbs = [event["verb"]]
    if verbs == ["patch"] and event.get("responseStatus", {}).get("code") == CREATED:
        verbs.append("create")
    for verb in verbs:
        resource = f"{about['resource']}{subresource}"
        yield Use(found[1], role, about.get("apiGroup", ""), resource, verb)


def _role(annotations: Json) -> str:
    """Return the role that let a request pass, or nothing where none did."""
    reason = annotations.get("authorization.k8s.io/reason", "")
    found = _ALLOWED_BY.search(reason)
    if annotations.get("authorization.k8s.io/decision") != "allow":
        return ""
    if found is None:
        raise ValueError(f"let pass by no role: {reason}")
    return f"{found[1]} {found[2]}"


def permission_of(grants: Grants, use: Use) -> Permission:
    """Return the permission that was used."""
    return grants.of_request(use.role, use.group, use.resource, use.verb)


def write(module: str, number: int, folder: Path) -> None:
    """Keep what the logs in an API server's folder tell of a module's API server of this number."""
    uses: set[Use] = set()
    for path in sorted(folder.glob("audit*.log")):
        with path.open(encoding="utf-8") as log:
            uses.update(of_log(log))
    fields = ("account", "role", "group", "resource", "verb")
    rows = [{field: getattr(use, field) for field in fields} for use in sorted(uses)]
    RECORDS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"module": module, "uses": rows}, indent=1)
    _record(module, number).write_text(text, encoding="utf-8")


def forget(module: str) -> None:
    """Remove what an earlier run has left of a module."""
    for path in RECORDS.glob(f"{_stem(module)}-*.json"):
        path.unlink()


def records() -> list[Record]:
    """Return what is recorded, of modules that there are."""
    found = []
    for path in sorted(RECORDS.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if (ROOT / content["module"]).exists():
            uses = frozenset(Use(**row) for row in content["uses"])
            found.append(Record(content["module"], uses))
    return found


def _stem(module: str) -> str:
    return module.removesuffix(".py").replace("/", ".")


def _record(module: str, number: int) -> Path:
    return RECORDS / f"{_stem(module)}-{number}.json"
