"""The InferenceServices among the objects of a file."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ferryman.core.importing.kserve import service
from ferryman.core.importing.outcome import Imported, LeftOut, NotImportableError, Request

_OTHER: Final = "it is no InferenceService"
_OTHER_VERSION: Final = (
    f"{service.GROUPS[0]}/{service.VERSION} is read: print it so, by kubectl get "
    f"inferenceservices.{service.VERSION}.{service.GROUPS[0]}"
)
#: Of other kinds, what to do.
_ADVICE: Final[Mapping[str, str]] = {
    "ServingRuntime": "state an InferenceRuntime in its place, and its name by --runtime",
    "ClusterServingRuntime": "state an InferenceRuntime in its place, and its name by --runtime",
    "InferenceGraph": "its sequences are the steps of an InferencePipeline; splitters and switches "
    "have nothing in their place",
    "TrainedModel": "each is an InferenceModel of its own, with a server of its own",
    "LLMInferenceService": "out of scope: keep KServe for it",
    "Secret": "credentials of stores are read from a Secret called model-source-…: see "
    "spec.model.fetch.secretName",
}


def imported(found: Sequence[object], asked: Request) -> tuple[Imported, ...]:
    """Return what becomes of each object.

    Raises NotImportableError where none is an InferenceService, or one model is asked of several.
    """
    services = [each for each in found if _is_service(each)]
    if not services:
        kinds = ", ".join(sorted({_called(each) for each in found})[:10]) or "nothing"
        raise NotImportableError(
            f"there is no InferenceService of {service.GROUPS[0]}/{service.VERSION} in it, but "
            f"{kinds}"
        )
    if asked.model is not None and len(services) > 1:
        raise NotImportableError(
            f"--model is of one InferenceService, and there are {len(services)}: import that alone"
        )
    return _told_apart([_imported(each, asked) for each in found])


def _imported(found: object, asked: Request) -> Imported:
    if isinstance(found, Mapping) and _is_service(found):
        return service.imported(found, asked)
    kind = found.get("kind") if isinstance(found, Mapping) else ""
    if kind == service.KIND:
        return Imported(_called(found), refusal=_OTHER_VERSION)
    advice = _ADVICE.get(str(kind), _OTHER)
    return Imported(_called(found), left_out=(LeftOut("the object", advice),))


def _is_service(found: object) -> bool:
    return (
        isinstance(found, Mapping)
        and found.get("kind") == service.KIND
        and found.get("apiVersion") in [f"{group}/{service.VERSION}" for group in service.GROUPS]
    )


def _called(found: object) -> str:
    """Return what an object is called: its kind and name, as far as it has them."""
    if not isinstance(found, Mapping) or not isinstance(found.get("kind"), str):
        return "a document that is no object"
    metadata: Any = found.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    version = (
        f" of {found.get('apiVersion', 'no version')}" if found["kind"] == service.KIND else ""
    )
    return f"{found['kind']} {name or 'without a name'}{version}"


def _told_apart(found: Sequence[Imported]) -> tuple[Imported, ...]:
    """Refuse all but the first of the objects that would be one."""
    seen: set[tuple[str, str]] = set()
    told = []
    for each in found:
        metadata = {} if each.manifest is None else each.manifest["metadata"]
        key = metadata.get("namespace", ""), metadata.get("name", "")
        if key[1] and key in seen:
            why = f"another object is called {key[1]} already: rename one of the two"
            told.append(Imported(each.name, refusal=why))
        else:
            told.append(each)
        seen.add(key)
    return tuple(told)
