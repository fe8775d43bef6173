"""One InferenceService as an InferenceModel."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from ferryman.api.model_source import FormatName
from ferryman.api.scalars import Name
from ferryman.api.scaling import MAX_SCALED_REPLICAS
from ferryman.core.importing import manifest as manifests
from ferryman.core.importing import patterns
from ferryman.core.importing.kserve import fields, pieces, pods
from ferryman.core.importing.outcome import Findings, Imported, Json, NotImportableError, Request

KIND: Final = "InferenceService"
GROUPS: Final = ("serving.kserve.io", "serving.kubeflow.org")
VERSION: Final = "v1beta1"

#: Fields of a predictor of old, each a framework of its own.
_FRAMEWORKS: Final = (
    *("triton", "onnx", "tensorflow", "pytorch", "huggingface", "sklearn", "xgboost", "lightgbm"),
    *("pmml", "paddle", "mlflow"),
)
_FORMATS: Final[Mapping[str, FormatName]] = {
    "onnx": "onnx",
    "tensorrt": "tensorrt",
    "tensorflow": "tensorflow",
    "pytorch": "pytorch",
    "openvino": "openvino",
    "openvino_ir": "openvino",
    "python": "python",
}
#: Formats that say nothing of the files: a person has to.
_OPEN: Final[Mapping[str, str]] = {
    "triton": "models of any format: state --format, and with --model the folder of storageUri "
    "that has it; or import the repository itself, by its folder",
    "huggingface": "weights that Triton has no backend for as they are: export the model (to onnx, "
    "for example), or state --format vllm for a folder with the vLLM backend's model.json",
}
#: Triton reads these otherwise than the server that KServe starts for them.
_LAYOUT: Final[Mapping[str, str]] = {
    "pytorch": "Triton reads TorchScript (model.pt), not an archive of TorchServe (.mar)",
    "tensorflow": "Triton reads VERSION/model.savedmodel, not a SavedModel in the version's folder",
}
_EXPORT: Final[Mapping[str, str]] = dict.fromkeys(
    ("sklearn", "xgboost", "lightgbm", "pmml", "paddle"), "export it to ONNX"
)
_KSERVE_KEYS: Final = ("serving.kserve.io/", "serving.kubeflow.org/", "modelmesh", "networking.kn")
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_NAMESPACE: Final = TypeAdapter(Name)
_V2: Final = ("v2", "grpc-v2")
_IMAGE: Final = "oci://"
#: As KServe tells it from other addresses (its python/storage, AZURE_BLOB_RE and AZURE_FILE_RE).
_AZURE: Final = re.compile(
    r"https://[^/]+\.(?:blob|file)\.core\.windows\.net(?:/|$)", re.IGNORECASE
)
_FETCHED: Final = ("s3://", "gs://", "hf://", "https://")


def imported(service: Mapping[str, Any], asked: Request) -> Imported:
    """Return what becomes of an InferenceService."""
    metadata = _mapping(service.get("metadata"))
    name = str(metadata.get("name") or metadata.get("generateName") or "without a name")
    findings = Findings()
    try:
        return findings.of(name, _manifest(service, metadata, asked, findings))
    except NotImportableError as error:
        return findings.refused(name, error)


def _manifest(
    service: Mapping[str, Any], metadata: Mapping[str, Any], asked: Request, findings: Findings
) -> Json:
    predictor = _mapping(_mapping(service.get("spec")).get("predictor"))
    framework = _framework(predictor)
    model, path = _mapping(predictor[framework]), f"spec.predictor.{framework}"
    findings.left_out += fields.left_out(service, framework)
    model_format = _format(model, framework, asked, findings)
    uri = _uri(model, str(metadata.get("name") or ""), path, asked, findings)
    spec: Json = {"model": {"storageUri": uri, "modelFormat": {"name": model_format}}}
    _note_runtime(model, path, asked, findings)
    spec |= _replicas(predictor, findings)
    for key, found in (
        ("resources", pods.resources(model, path, findings)),
        ("placement", pods.placement(predictor, findings)),
        ("pod", pods.pod(predictor, model, path, findings)),
    ):
        spec |= {key: found} if found else {}
    return manifests.model(_metadata(metadata, asked, findings), asked, spec)


def _framework(predictor: Mapping[str, Any]) -> str:
    """Return the predictor's field that says what its model is."""
    found = [key for key in ("model", *_FRAMEWORKS) if predictor.get(key) is not None]
    if len(found) > 1:
        raise NotImportableError(f"spec.predictor states {' and '.join(found)}: keep one of them")
    if found:
        return found[0]
    if predictor.get("containers"):
        raise NotImportableError(
            "spec.predictor.containers is a server of your own, not a model for Triton: serve its "
            "model as one of format python, or keep KServe"
        )
    raise NotImportableError("spec.predictor states no model")


def _format(
    model: Mapping[str, Any], framework: str, asked: Request, findings: Findings
) -> FormatName:
    said = framework if framework != "model" else _mapping(model.get("modelFormat")).get("name")
    stated = said if isinstance(said, str) else ""
    if stated in _LAYOUT:
        findings.hints.append(f"{stated}: {_LAYOUT[stated]}")
    if stated in _FORMATS:
        return _FORMATS[stated]
    if stated in _OPEN:
        if asked.model_format is None or (stated == "triton" and asked.model is None):
            raise NotImportableError(f"its format {stated} stands for {_OPEN[stated]}")
        return asked.model_format
    if not stated:
        raise NotImportableError("spec.predictor.model.modelFormat.name is missing")
    advice = _EXPORT.get(stated, "keep KServe for it")
    raise NotImportableError(f"Triton has no backend for its format {stated} here: {advice}")


def _uri(model: Mapping[str, Any], name: str, path: str, asked: Request, findings: Findings) -> str:
    """Return where the model's folder is. Raises NotImportableError where nobody says it."""
    stated = model.get("storageUri")
    own, problem = _usable(stated)
    if own is not None:
        uri = own if asked.model is None else patterns.folder_uri(own, asked.model)
        if model.get("storage") is not None:
            findings.leave_out(f"{path}.storage", "storageUri counts")
        if asked.model is None:
            findings.hints.append(
                f"{uri} must be the folder of the one model (1/ with its file, or the file): where "
                "it is a repository, state the model's folder by --model"
            )
    elif asked.storage_uri is None:
        raise NotImportableError(
            f"{problem}: put the files where Ferryman reads them, and state --storage-uri PREFIX, "
            "below which the model's folder is"
        )
    else:
        uri = patterns.folder_uri(asked.storage_uri, asked.model or name)
        findings.change(
            f"{path}.{'storage' if stated is None else 'storageUri'}", f"it is {uri} now"
        )
    if uri.startswith(_IMAGE):
        findings.hints.append(
            "KServe's images have the files in /models: for Ferryman they must be at the top"
        )
    if uri.startswith(_FETCHED):
        findings.hints.append(
            "credentials of a store are no part of the InferenceService: where it needs some, "
            "state spec.model.fetch.secretName"
        )
    return uri


def _usable(stated: object) -> tuple[str | None, str]:
    """Return a storageUri as the API has it, or why it is none."""
    if not isinstance(stated, str):
        return None, "storageUri does not say where the files are"
    if _AZURE.match(stated):
        return None, "storageUri: Azure's storage is none that Ferryman reads"
    try:
        return patterns.storage_uri(stated), ""
    except NotImportableError as error:
        # Not the URI itself: others put passwords and signatures into theirs.
        return None, f"storageUri: {error}"


def _note_runtime(model: Mapping[str, Any], path: str, asked: Request, findings: Findings) -> None:
    if model.get("runtime") is not None:
        findings.leave_out(
            f"{path}.runtime",
            f"spec.runtimeRef is the InferenceRuntime {asked.runtime} in its place: --runtime NAME "
            "takes another",
        )
    version = model.get("protocolVersion")
    if version is not None and version not in _V2:
        findings.leave_out(
            f"{path}.protocolVersion", "Triton answers v2 alone: requests to :predict must change"
        )


def _replicas(predictor: Mapping[str, Any], findings: Findings) -> Json:
    """Return replicas, and scaling where there may be more."""
    least = _count(predictor, "minReplicas", findings)
    most = _count(predictor, "maxReplicas", findings)
    if least == 0:
        findings.change("spec.predictor.minReplicas", "at least one replica stays")
    low = max(1, least or 1)
    if most == 0:
        findings.leave_out("spec.predictor.maxReplicas", "0 is no bound: scaling needs one")
    if not most or most == low:
        return {} if least is None else {"replicas": low}
    if most < low:
        findings.leave_out("spec.predictor.maxReplicas", "it is less than minReplicas")
        return {"replicas": low}
    if low > MAX_SCALED_REPLICAS:
        findings.leave_out("spec.predictor.maxReplicas", f"scaling ends at {MAX_SCALED_REPLICAS}")
        return {"replicas": low}
    if most > MAX_SCALED_REPLICAS:
        findings.change("spec.predictor.maxReplicas", f"it is {MAX_SCALED_REPLICAS} now")
    high = min(most, MAX_SCALED_REPLICAS)
    return {"replicas": low, "scaling": {"minReplicas": low, "maxReplicas": high}}


def _count(predictor: Mapping[str, Any], key: str, findings: Findings) -> int | None:
    value = predictor.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1000:  # noqa: PLR2004
        findings.leave_out(f"spec.predictor.{key}", "it is no number from 0 to 1000")
        return None
    return value


def _metadata(metadata: Mapping[str, Any], asked: Request, findings: Findings) -> Json:
    """Return name, namespace and labels; clients of a Triton repository ask for the folder."""
    stated = asked.model or metadata.get("name")
    if not isinstance(stated, str) or not stated:
        raise NotImportableError("metadata.name is missing: state it")
    name = patterns.object_name(stated)
    if name != metadata.get("name"):
        findings.change("metadata.name", f"it is called {name}: clients must ask for that")
    found: Json = {"name": name}
    namespace = metadata.get("namespace")
    if namespace is not None:
        found["namespace"] = _namespace(namespace)
    labels = pieces.labels(metadata, "labels", "metadata", findings, taken=_KSERVE_KEYS)
    for key in _mapping(metadata.get("annotations")):
        if key != _LAST_APPLIED:
            findings.leave_out(
                f"metadata.annotations.{key}",
                "it was meant for others: what pods are to have goes into spec.pod.annotations",
            )
    return found | ({"labels": labels} if labels else {})


def _namespace(stated: object) -> str:
    try:
        return _NAMESPACE.validate_python(stated)
    except ValidationError as error:
        raise NotImportableError("metadata.namespace is no name of a namespace") from error


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
