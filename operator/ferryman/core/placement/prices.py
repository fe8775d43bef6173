"""What a node costs: by its label, else by what the installation says of its node type.

The operator publishes the installation's prices in the profiles, so that the command line counts
with the same ones and needs no rights of its own for that.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from ferryman.api import names
from ferryman.api.node_profile import NodeProfileStatus
from ferryman.core.snapshot import NodeView, Snapshot

#: By node type: nobody said what a node costs.
NO_PRICES: Final[Mapping[str, float]] = {}
_PRICE: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def labelled(labels: Mapping[str, str]) -> float | None:
    """Return the price that a node's label states, if it is one."""
    text = labels.get(names.LABEL_PRICE, "")
    return float(text) if _PRICE.fullmatch(text) else None


def price_per_hour(
    labels: Mapping[str, str], node_type: str, prices: Mapping[str, float]
) -> float | None:
    """Return a node's price: by its label if that is one, else that of its node type."""
    own = labelled(labels)
    return prices.get(node_type) if own is None else own


def published(profiles: Iterable[NodeProfileStatus]) -> Mapping[str, float]:
    """Return the prices by node type that an operator published."""
    return {
        profile.node_type: profile.price_per_hour
        for profile in profiles
        if profile.price_per_hour is not None
    }


def priced(snapshot: Snapshot, prices: Mapping[str, float]) -> Snapshot:
    """Return a snapshot with these prices where no label states one, else with those it has."""
    return snapshot.with_(nodes=tuple(_priced(node, prices) for node in snapshot.nodes))


def _priced(node: NodeView, prices: Mapping[str, float]) -> NodeView:
    found = price_per_hour(node.labels, node.node_type, prices)
    known = node.price_per_hour
    if known is None and node.profile is not None:
        known = node.profile.price_per_hour
    return node.with_(price_per_hour=known if found is None else found)
