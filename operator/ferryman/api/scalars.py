"""Bounded words and quantities that several resources share."""

from typing import Annotated

from pydantic import Field

from ferryman.api import rules
from ferryman.api.crd import DNS_LABEL, DNS_LABEL_WORDS, matches
from ferryman.api.crd import rules as carry

Name = Annotated[
    str, Field(max_length=63, **matches(DNS_LABEL, f"must be a name: {DNS_LABEL_WORDS}"))
]


ProcessorClass = Annotated[
    str,
    Field(
        max_length=32,
        **matches(
            r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$",
            "must be a processor class such as cpu, gpu or npu: lower-case letters, digits and '-'",
        ),
    ),
]


#: A node type, processor or node as status names it.
Label = Annotated[str, Field(max_length=63)]


NodeName = Annotated[str, Field(max_length=253)]


ReasonWord = Annotated[str, Field(min_length=1, max_length=64)]
LatestReasonWord = Annotated[str, Field(max_length=64)]
"""Empty until there is one."""


Quantity = Annotated[
    Annotated[str, Field(min_length=1, max_length=32)] | int,
    Field(json_schema_extra=carry(*rules.QUANTITY)),
]


Quantities = Annotated[
    dict[str, Quantity], Field(max_length=16, json_schema_extra=carry(*rules.RESOURCE_NAMES))
]
