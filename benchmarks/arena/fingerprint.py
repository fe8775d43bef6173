"""What a result depends on, as a hash: the source files that took part, and the scenario's.

A result is computed again only when one of them changed. Modules are followed through their
imports, so that a change of the API server's client does not void a simulation.
"""

import ast
import hashlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from benchmarks.common import ROOT

#: Top-level package -> the folder that holds it.
_SOURCES: Final = {"ferryman": ROOT / "operator", "benchmarks": ROOT}
#: What bears on no figure must not void hours of results: names of reasons, how resources are
#: declared to Kubernetes, what they say of pods and nodes (there are none in a simulation), how a
#: scenario's text is read (its bytes are hashed themselves), and where results are kept.
_ASIDE: Final = frozenset(
    {
        "ferryman.api.conditions",
        "ferryman.api.crd",
        "ferryman.api.inference_runtime",
        "ferryman.api.names",
        "ferryman.api.node_profile",
        "ferryman.api.pods.pod_settings",
        "ferryman.api.resources",
        "ferryman.api.rules",
        "ferryman.api.scalars",
        "ferryman.api.pods.scheduling",
        "ferryman.cli.files.own_file",
        "benchmarks.common",
        "benchmarks.arena.store",
    }
)
_LENGTH: Final = 16


def of(modules: frozenset[str], *contents: bytes) -> str:
    """Return the hash of modules, all modules of the project that they import, and contents."""
    digest = hashlib.sha256()
    for path in sorted(set().union(*(_closure(module) for module in modules))):
        digest.update(path.read_bytes())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:_LENGTH]


def modules_of(*parts: Callable[..., Any] | None) -> frozenset[str]:
    """Return the modules that functions come from, also those of partial ones."""
    return frozenset(_unwrapped(part).__module__ for part in parts if part is not None)


def _unwrapped(part: Callable[..., Any]) -> Callable[..., Any]:
    return _unwrapped(part.func) if isinstance(part, partial) else part


@cache
def _closure(module: str) -> frozenset[Path]:
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if path is not None and name not in found and name not in _ASIDE:
            found[name] = path
            waiting += _imports(path)
    return frozenset(found.values())


def _path(module: str) -> Path | None:
    """Return a module's file, or a package's; None for what is not the project's."""
    folder = _SOURCES.get(module.partition(".")[0])
    if folder is None:
        return None
    place = folder / module.replace(".", "/")
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.exists()), None)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
