"""Which nodes pods may go to: requirements on labels, and tolerations, as a pod states them."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from ferryman.api.base import ApiType
from ferryman.api.crd import Rule, matches
from ferryman.api.crd import rules as carry

#: The grammar of label keys and taint keys: a DNS subdomain that may be absent, and a name.
LABEL_KEY: Final = (
    r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
_KEY_WORDS: Final = "for example topology.kubernetes.io/zone"

_TOLERATION: Final = (
    Rule(
        "has(self.key) || self.operator == 'Exists'",
        "without a key the operator must be Exists, which tolerates every taint",
        field_path=".operator",
    ),
    Rule(
        "!has(self.value) || size(self.value) == 0 || self.operator == 'Equal'",
        "a value goes with the operator Equal only: remove it, or the operator",
        field_path=".value",
    ),
    Rule(
        "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        "tolerationSeconds goes with the effect NoExecute only",
        field_path=".tolerationSeconds",
    ),
)
_REQUIREMENT: Final = (
    Rule(
        "self.operator in ['Exists', 'DoesNotExist'] != "
        "(has(self.values) && size(self.values) > 0)",
        "values go with In and NotIn, which need at least one, and with Gt and Lt; Exists and "
        "DoesNotExist take none",
        field_path=".values",
    ),
    Rule(
        "!(self.operator in ['Gt', 'Lt']) || (has(self.values) && size(self.values) == 1 && "
        "self.values[0].matches('^[0-9]{1,18}$'))",
        "Gt and Lt compare with one whole number",
        field_path=".values",
    ),
)
_SELECTOR: Final = (
    Rule(f"self.all(k, k.matches('{LABEL_KEY}'))", f"keys must be labels' keys, {_KEY_WORDS}"),
)

LabelKey = Annotated[
    str,
    Field(
        min_length=1, max_length=317, **matches(LABEL_KEY, f"must be a label's key, {_KEY_WORDS}")
    ),
]
LabelValue = Annotated[
    str,
    Field(
        max_length=63,
        **matches(
            r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
            "must be a label's value: letters, digits and -_. only",
        ),
    ),
]

NodeSelector = Annotated[
    dict[str, LabelValue], Field(max_length=16, json_schema_extra=carry(*_SELECTOR))
]


class Toleration(ApiType):
    """A taint that keeps no pods of ours away."""

    model_config = ConfigDict(json_schema_extra=carry(*_TOLERATION))

    key: LabelKey | None = None
    """The taint's key; absent: every key, with the operator Exists."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Equal: of this value. Exists: of any value."""
    value: LabelValue = ""
    """The taint's value."""
    # Absent, but never null: an API server would want null among the words.
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | SkipJsonSchema[None] = None
    """The taint's effect; absent: every effect."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """How long a pod stays that runs when a NoExecute taint comes; absent: for ever."""


class NodeRequirement(ApiType):
    """What must hold for a label of a node."""

    model_config = ConfigDict(json_schema_extra=carry(*_REQUIREMENT))

    key: LabelKey
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How the label's value must relate to ``values``; NotIn also holds without the label. Gt and
    Lt: the label is a whole number that is greater, or less, than the one value."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=32)] = ()
    """For In and NotIn at least one, for Gt and Lt one whole number. At most 32, as each is
    compared for every node."""


Tolerations = Annotated[tuple[Toleration, ...], Field(max_length=16)]
