"""What an InferenceService says of its pods: nodes, resources, environment, who they run as."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from ferryman.api import names
from ferryman.api.pods.pod_settings import EnvironmentVariable, ObjectName, PodSecurity, PullSecret
from ferryman.api.pods.scheduling import LabelKey, NodeRequirement, Toleration
from ferryman.core.importing.kserve.pieces import (
    FEW,
    MISFIT,
    Entries,
    entries,
    is_valid,
    labels,
    mapping,
    stated_as,
)
from ferryman.core.importing.outcome import Findings, Json
from ferryman.core.importing.patterns import is_quantity

_PREDICTOR: Final = "spec.predictor"
_DEVICE: Final = (
    "a pod requests one device where the processor class has devices; "
    "spec.placement.processors: [gpu] keeps to GPUs, spec.parallelism.devices spreads one instance "
    "over several"
)
_TAKEN: Final = (f"{names.GROUP}/", "app.kubernetes.io/", "pod-template-hash")
_RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")
_USER: Final = ("runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "supplementalGroups")
#: What holds in any case.
_GIVEN: Final = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_MOST_DIGITS: Final = 18
_MOST_QUANTITY: Final = 32

_NAME: Final = TypeAdapter(ObjectName)
_TRUTH: Final = TypeAdapter(bool)
_ANNOTATION: Final = TypeAdapter(tuple[LabelKey, Annotated[str, Field(max_length=4096)]])


def _tolerates(entry: Mapping[str, Any]) -> bool:
    exists = entry.get("operator") == "Exists"
    return (
        (exists or bool(entry.get("key")))
        and not (exists and entry.get("value"))
        and (entry.get("tolerationSeconds") is None or entry.get("effect") == "NoExecute")
    )


def _requires(entry: Mapping[str, Any]) -> bool:
    values, operator = entry.get("values") or (), entry["operator"]
    if operator in {"Gt", "Lt"}:
        number = "".join(values) if len(values) == 1 else ""
        return number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
    return (operator in {"Exists", "DoesNotExist"}) != bool(values)


def _is_literal(entry: Mapping[str, Any]) -> bool:
    # Kubernetes reads $(NAME) as another variable and $$ as a dollar; here both are literal.
    value = entry.get("value", "")
    return not entry["name"].startswith("FERRYMAN_") and "$(" not in value and "$$" not in value


_TOLERATIONS: Final = Entries(Toleration, holds=_tolerates)
_REQUIREMENTS: Final = Entries(NodeRequirement, holds=_requires)
_SECRETS: Final = Entries(PullSecret, most=8)
_VARIABLES: Final = Entries(
    EnvironmentVariable,
    most=64,
    holds=_is_literal,
    advice="variables have a name and a literal value, and FERRYMAN_… are Ferryman's own: state it "
    "in spec.pod.env",
)


def placement(predictor: Mapping[str, Any], findings: Findings) -> Json:
    """Return ``spec.placement``, empty where nothing is said."""
    return _stated(
        nodeSelector=labels(predictor, "nodeSelector", _PREDICTOR, findings),
        nodeAffinity=_requirements(predictor, findings),
        tolerations=entries(predictor, "tolerations", _TOLERATIONS, _PREDICTOR, findings),
    )


def pod(
    predictor: Mapping[str, Any], model: Mapping[str, Any], path: str, findings: Findings
) -> Json:
    """Return ``spec.pod``, empty where nothing is said; ``path`` is where the model is said."""
    annotations = labels(
        predictor, "annotations", _PREDICTOR, findings, taken=_TAKEN[:2], fits=_ANNOTATION
    )
    return _stated(
        labels=labels(predictor, "labels", _PREDICTOR, findings, taken=_TAKEN),
        annotations=annotations,
        serviceAccountName=_one(predictor, "serviceAccountName", _NAME, findings),
        imagePullSecrets=entries(predictor, "imagePullSecrets", _SECRETS, _PREDICTOR, findings),
        priorityClassName=_one(predictor, "priorityClassName", _NAME, findings),
        hostUsers=_one(predictor, "hostUsers", _TRUTH, findings),
        securityContext=_security(predictor, findings),
        env=entries(model, "env", _VARIABLES, path, findings),
    )


def resources(model: Mapping[str, Any], path: str, findings: Findings) -> Json:
    """Return ``spec.resources``, empty where nothing is said; devices are requested otherwise."""
    stated = mapping(model, "resources", path, findings)
    for key in stated:
        if key not in {"requests", "limits"}:
            findings.leave_out(f"{path}.resources.{key}", "Ferryman has requests and limits")
    where = f"{path}.resources"
    return _stated(
        **{key: _quantities(stated, key, where, findings) for key in ("requests", "limits")}
    )


def _quantities(stated: Mapping[str, Any], key: str, path: str, findings: Findings) -> Json:
    found: Json = {}
    for name, value in mapping(stated, key, path, findings).items():
        resource = str(name)
        plain = resource in _RESOURCES or resource.startswith("hugepages-")
        if "/" in resource:
            findings.leave_out(f"{path}.{key}.{resource}", _DEVICE)
        elif not plain or not _is_stored(value) or len(found) == FEW:
            findings.leave_out(f"{path}.{key}.{resource}", MISFIT)
        else:
            found[resource] = value
    return found


def _is_stored(value: object) -> bool:
    return is_quantity(value) and len(str(value)) <= _MOST_QUANTITY


def _requirements(predictor: Mapping[str, Any], findings: Findings) -> list[Json]:
    """Return what must hold for a node's labels, where it is one set of requirements."""
    path = f"{_PREDICTOR}.affinity"
    affinity = mapping(predictor, "affinity", _PREDICTOR, findings)
    for key in affinity:
        if key != "nodeAffinity":
            findings.leave_out(f"{path}.{key}", "replicas are kept apart: spec.placement.spread")
    node = mapping(affinity, "nodeAffinity", path, findings)
    for key in node:
        if key != _REQUIRED:
            findings.leave_out(f"{path}.nodeAffinity.{key}", "which node is best is measured")
    required = mapping(node, _REQUIRED, f"{path}.nodeAffinity", findings)
    return _terms(required, f"{path}.nodeAffinity.{_REQUIRED}", findings) if required else []


def _terms(required: Mapping[str, Any], path: str, findings: Findings) -> list[Json]:
    """Return the requirements of the one term that there may be."""
    terms = required.get("nodeSelectorTerms")
    one = terms[0] if isinstance(terms, list) and len(terms) == 1 else None
    if not isinstance(one, Mapping) or one.keys() - {"matchExpressions"}:
        findings.leave_out(path, "one nodeSelectorTerm with matchExpressions can be stated")
        return []
    where = f"{path}.nodeSelectorTerms[0]"
    return entries(one, "matchExpressions", _REQUIREMENTS, where, findings)


def _security(predictor: Mapping[str, Any], findings: Findings) -> Json:
    path = f"{_PREDICTOR}.securityContext"
    stated = mapping(predictor, "securityContext", _PREDICTOR, findings)
    for key, value in stated.items():
        if key not in _USER and _GIVEN.get(key) != value:
            findings.leave_out(f"{path}.{key}", "serving pods are locked down in this")
    found = {key: stated[key] for key in _USER if stated.get(key) is not None}
    whole = stated_as(PodSecurity, found)
    if whole is None or ("fsGroupChangePolicy" in found and "fsGroup" not in found):
        findings.leave_out(path, f"{MISFIT}; they never run as root")
        return {}
    return whole


def _one(
    predictor: Mapping[str, Any], key: str, kind: TypeAdapter[Any], findings: Findings
) -> str | bool | None:
    value: str | bool | None = predictor.get(key)
    if value is None or is_valid(kind, value):
        return value
    findings.leave_out(f"{_PREDICTOR}.{key}", MISFIT)
    return None


def _stated(**found: Any) -> Json:  # noqa: ANN401  JSON
    return {key: value for key, value in found.items() if value not in (None, {}, [])}
