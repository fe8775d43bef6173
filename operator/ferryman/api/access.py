"""Who may send requests to a model's pods, as its NetworkPolicy lets them."""

from typing import Annotated

from pydantic import Field

from ferryman.api.base import ApiType
from ferryman.api.pods.scheduling import NodeSelector


class Peer(ApiType):
    """Pods that may send requests."""

    namespaces: NodeSelector = Field(default_factory=dict)
    """Labels of their namespaces, for example kubernetes.io/metadata.name; empty: any namespace."""
    pods: NodeSelector = Field(default_factory=dict)
    """Labels of the pods; empty: all pods there."""


class AccessSpec(ApiType):
    """Who may send requests over HTTP and gRPC, besides the pods of the model's own namespace."""

    from_: Annotated[tuple[Peer, ...], Field(max_length=32, alias="from")] = ()
    """Pods of other namespaces."""
    everyone: bool = False
    """Whoever reaches the pods, from outside the cluster too."""

    def widened(self, other: "AccessSpec") -> "AccessSpec":
        """Return what either of two admits."""
        new = tuple(peer for peer in other.from_ if peer not in self.from_)
        return AccessSpec(from_=(*self.from_, *new), everyone=self.everyone or other.everyone)
