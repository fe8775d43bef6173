"""A model that is spread over several devices of one node."""

from typing import Annotated, Final

from pydantic import Field

from ferryman.api.base import ApiType
from ferryman.api.pods.scheduling import NodeRequirement

#: The most devices of one node that any maker offers is far below.
MAX_DEVICES: Final = 64


class Parallelism(ApiType):
    """How many devices one instance of the model takes, all of them of one node."""

    devices: Annotated[int, Field(ge=1, le=MAX_DEVICES)]
    """Devices of the processor class's resource that a pod requests. With more than 1 the pod has
    one instance of the model, which is never scaled."""
    interconnect: Annotated[tuple[NodeRequirement, ...], Field(max_length=4)] = ()
    """What must hold for the labels of a node so that its devices are connected well enough, for
    example ``nvidia.com/gpu.product`` In a list of products with NVLink."""
