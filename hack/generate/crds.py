"""The CustomResourceDefinitions as documents and as YAML."""

from typing import Any, Final

import yaml
from pydantic import BaseModel

from ferryman.api import names
from ferryman.api.crd import RULES, Resource
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import UNSEEN
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.node_profile import NodeProfile
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from hack.generate.messages import Leaf, expand
from hack.generate.schema import Schema, structural_schema

Kind = type[InferenceModel] | type[InferencePipeline] | type[InferenceRuntime] | type[NodeProfile]
KINDS: Final[tuple[Kind, ...]] = (
    InferenceModel,
    InferencePipeline,
    InferenceRuntime,
    NodeProfile,
)

HEADER: Final = (
    "# Generated from operator/ferryman/api by `python -m hack.generate`; do not edit.\n"
)
_NAME_MAX: Final = 253  # the API server's own limit: it lets CEL estimate what a rule costs
_STANDARD: Final = {
    "apiVersion": "The version of the schema: serving.ferryman.dev/v1alpha1.",
    "kind": "The kind of the object.",
}


def crd_documents() -> dict[str, dict[str, Any]]:
    """Return each CRD by the name of its file."""
    return {f"{names.GROUP}_{kind.resource.plural}.yaml": crd(kind) for kind in KINDS}


def crd(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    resource = kind.resource
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{names.GROUP}",
            "labels": {"app.kubernetes.io/name": "ferryman"},
        },
        "spec": {
            "group": names.GROUP,
            "names": _names(kind),
            "scope": resource.scope,
            "versions": [_version(kind)],
        },
    }


def kustomization() -> str:
    """Return the file that makes ``crds/`` a kustomize base.

    It is called Kustomization, with no extension, so that ``kubectl apply -f crds/`` passes it by.
    """
    files = {"resources": sorted(crd_documents())}
    base = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return to_yaml(base | files)


def to_yaml(document: dict[str, Any]) -> str:
    """Return a document as YAML with the generator's header."""
    text = yaml.dump(document, Dumper=_Indented, sort_keys=False, width=100, allow_unicode=True)
    return HEADER + text


def root_schema(kind: Kind) -> Schema:
    """Return the structural schema of whole objects of a kind."""
    parts = {
        part: structural_schema(_part(kind, part), defaults=part == "spec")
        for part in ("spec", "status")
        if part in kind.model_fields
    }
    if "observedGeneration" in parts.get("status", {}).get("properties", {}):
        parts["status"] = _unseen(parts["status"])
    standard = {key: {"description": text, "type": "string"} for key, text in _STANDARD.items()}
    name = {"type": "string", "maxLength": _NAME_MAX}
    schema: Schema = {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "required": ["metadata", *(part for part in parts if part == "spec")],
        "properties": {
            **standard,
            "metadata": {"type": "object", "properties": {"name": name}},
            **parts,
        },
    }
    if kind.resource.name_rules:
        schema[RULES] = [rule.as_dict() for rule in kind.resource.name_rules]
    return schema


def _unseen(status: Schema) -> Schema:
    """Have an object say so that no operator has seen: kstatus takes one without status for done.

    The one default of a status, of the whole, since the API server adds none to what is not there.
    """
    default = {"default": UNSEEN}
    seen = {"observedGeneration": status["properties"]["observedGeneration"] | default}
    whole = {"default": {"observedGeneration": UNSEEN}}
    return {**status, "properties": status["properties"] | seen, **whole}


def _part(kind: Kind, name: str) -> type[BaseModel]:
    annotation = kind.model_fields[name].annotation
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise TypeError(f"{kind.__name__}.{name} is not an API type")
    return annotation


def _names(kind: Kind) -> dict[str, Any]:
    return {
        "kind": kind.resource.kind,
        "listKind": f"{kind.resource.kind}List",
        "plural": kind.resource.plural,
        "singular": kind.resource.kind.lower(),
        "shortNames": list(kind.resource.short_names),
        "categories": ["ferryman"],
    }


def _version(kind: Kind) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.as_dict() for column in kind.resource.columns],
    }
    subresources = _subresources(kind.resource)
    if subresources:
        version["subresources"] = subresources
    return version | {"schema": {"openAPIV3Schema": expand(root_schema(kind))}}


def _subresources(resource: Resource) -> dict[str, Any]:
    found: dict[str, Any] = {"status": {}} if resource.has_status else {}
    if resource.has_scale:
        found["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return found


class _Indented(yaml.SafeDumper):
    """Indents lists below their key and never abbreviates with anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _on_one_line(dumper: yaml.SafeDumper, leaf: Leaf) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", leaf.items(), flow_style=True)


_Indented.add_representer(Leaf, _on_one_line)
