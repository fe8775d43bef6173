"""What tensors' data types are called: in Triton's configurations, and by clients."""

from collections.abc import Mapping
from typing import Final, get_args

from ferryman.api.pipelines.step import Datatype

#: In a ModelConfig -> in the KServe v2 protocol.
DATATYPES: Final[Mapping[str, Datatype]] = {
    "TYPE_STRING" if name == "BYTES" else f"TYPE_{name}": name for name in get_args(Datatype)
}
#: The other way round.
CONFIG_TYPES: Final[Mapping[str, str]] = {v: k for k, v in DATATYPES.items()}
