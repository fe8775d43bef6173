"""What the owner adds to serving pods: from labels to the user that they run as."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from ferryman.api import names, rules
from ferryman.api.base import ApiType
from ferryman.api.crd import Rule, keyed_by, matches
from ferryman.api.crd import rules as carry
from ferryman.api.pods.scheduling import LABEL_KEY, LabelValue

#: Beginnings of keys that Ferryman sets on pods, and a key that their controller sets.
_OWN_KEYS: Final = (f"{names.GROUP}/", "app.kubernetes.io/")
_CONTROLLERS_KEY: Final = "pod-template-hash"


def _keys(what: str) -> Rule:
    return Rule(f"self.all(k, k.matches('{LABEL_KEY}'))", f"keys must be {what}, for example team")


_TAKEN: Final = " || ".join(f"k.startsWith('{prefix}')" for prefix in _OWN_KEYS)
_LABELS: Final = (
    _keys("labels' keys"),
    Rule(
        f"!self.exists(k, {_TAKEN} || k == '{_CONTROLLERS_KEY}')",
        f"labels of serving.ferryman.dev/ and app.kubernetes.io/ and {_CONTROLLERS_KEY} are set by "
        "Ferryman and Kubernetes: choose other keys",
    ),
)
_ANNOTATIONS: Final = (
    _keys("annotations' keys"),
    Rule(
        f"!self.exists(k, {_TAKEN})",
        "annotations of serving.ferryman.dev/ and app.kubernetes.io/ are set by Ferryman: choose "
        "other keys",
    ),
)
_SECURITY: Final = (
    Rule(
        "self.user != 'Namespace'"
        " || !(has(self.runAsUser) || has(self.runAsGroup) || has(self.fsGroup))",
        "user Namespace leaves runAsUser, runAsGroup and fsGroup to the namespace: remove them, or "
        "state user Fixed",
        field_path=".user",
    ),
    Rule(
        "!has(self.fsGroupChangePolicy) || has(self.fsGroup) || self.user == 'Namespace'",
        "fsGroupChangePolicy needs a group to change to: state fsGroup, or remove it",
        field_path=".fsGroupChangePolicy",
    ),
)

#: Kubernetes' DNS-1123 subdomain: what service accounts, Secrets and priority classes are called.
_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        **matches(_SUBDOMAIN, "must be an object's name: lower-case letters, digits, '-' and '.'"),
    ),
]
#: Linux' user and group numbers as Kubernetes takes them; 0 is root.
Id = Annotated[int, Field(ge=0, le=2**31 - 1)]

PodLabels = Annotated[
    dict[str, LabelValue], Field(max_length=16, json_schema_extra=carry(*_LABELS))
]
PodAnnotations = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=16, json_schema_extra=carry(*_ANNOTATIONS)),
]


class EnvironmentVariable(ApiType):
    """A literal environment variable."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.ENVIRONMENT))

    name: Annotated[
        str,
        Field(
            max_length=128,
            **matches(
                r"^[A-Za-z_][A-Za-z0-9_]*$",
                "must be a variable's name: letters, digits and '_', not beginning with a digit",
            ),
        ),
    ]
    """The variable's name."""
    value: Annotated[str, Field(max_length=2048)] = ""
    """Its value, taken literally."""

    def as_literal(self) -> dict[str, Any]:
        """Return the entry of a container: $(NAME) would be replaced, and $$ is a dollar."""
        return {"name": self.name, "value": self.value.replace("$", "$$")}


Environment = Annotated[
    tuple[EnvironmentVariable, ...], Field(max_length=64, json_schema_extra=keyed_by("name"))
]


class PullSecret(ApiType):
    """A Secret with the credentials of a registry."""

    name: ObjectName
    """Its name, in the namespace of the model."""


class PodSecurity(ApiType):
    """Which user and groups the pod's processes have; never root."""

    model_config = ConfigDict(json_schema_extra=carry(*_SECURITY))

    user: Literal["Fixed", "Namespace"] = "Fixed"
    """Fixed: ``runAsUser``. Namespace: none is stated, because the namespace assigns one, as
    OpenShift's do."""
    run_as_user: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """The user; absent: 1000, which the images can run as."""
    run_as_group: Id | None = None
    """The group; absent: 1000."""
    fs_group: Id | None = None
    """The group that the pod's volumes are given to, where their kind allows it."""
    # Absent, but never null: an API server would want null among the words.
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] | SkipJsonSchema[None] = None
    """When a volume's files are given to that group; OnRootMismatch is quick for large models."""
    supplemental_groups: Annotated[tuple[Id, ...], Field(max_length=16)] = ()
    """Further groups."""

    def as_security_context(self) -> dict[str, Any]:
        """Return what is stated of users and groups, as a pod's securityContext has it."""
        stated = {key: value for key, value in self.as_dict().items() if key != "user"}
        return {key: value for key, value in stated.items() if value != []}


class PodSettings(ApiType):
    """What serving pods get besides what Ferryman decides."""

    labels: PodLabels = Field(default_factory=dict)
    """Labels of the pods. Those of serving.ferryman.dev and app.kubernetes.io are Ferryman's."""
    annotations: PodAnnotations = Field(default_factory=dict)
    """Annotations of the pods, for example of a service mesh; some are Ferryman's, as of labels."""
    service_account_name: ObjectName | None = None
    """What the pods run as; its token is not mounted. Absent: the namespace's default."""
    image_pull_secrets: Annotated[
        tuple[PullSecret, ...], Field(max_length=8, json_schema_extra=keyed_by("name"))
    ] = ()
    """For Triton's image and models' images, besides those of the service account."""
    priority_class_name: ObjectName | None = None
    """How important the pods are to kube-scheduler."""
    host_users: bool | None = None
    """False: the pod's users are not the node's (user namespaces), where the nodes' kernel and
    container runtime can; the runtime's or the model's word suffices. Absent: as the cluster has
    it."""
    security_context: PodSecurity | None = None
    """A model's replaces that of its runtime as a whole."""


class ModelPodSettings(PodSettings):
    """What this model's pods get besides what Ferryman and the runtime say."""

    env: Environment = ()
    """Environment of the Triton container; the runtime's variable of the same name gives way."""
