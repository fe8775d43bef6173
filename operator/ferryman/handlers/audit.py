"""A comparison of the indices with the cluster, for deletions that no watch told of.

A watch that was interrupted for long lists anew, and what was deleted meanwhile is then neither
listed nor told as deleted: kopf's indices keep it. A Node that exists only there would be a
candidate for ever, a Deployment would never be applied anew, and a pod would hold its CPU.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from ferryman.clients.kubernetes import Kubernetes
from ferryman.clients.kubernetes_errors import KubernetesError
from ferryman.handlers.cache import Index
from ferryman.handlers.watch import OURS, WATCHED

_log = logging.getLogger(__name__)

PERIOD_S: Final = 600.0
#: A deletion that is on its way must have arrived after this.
CONFIRM_AFTER_S: Final = 10.0

#: Index and uid of an object that is in an index but not in the cluster any more.
StaleObject = tuple[str, str]


async def wait_for_stale_objects(
    kubernetes: Kubernetes, indices: Mapping[str, Index], namespaces: Sequence[str] = ()
) -> set[StaleObject]:
    """Compare now and then; return the objects that are in the indices alone."""
    while True:
        await asyncio.sleep(PERIOD_S)
        try:
            suspects = await _stale_objects(kubernetes, indices, namespaces)
            if suspects:
                await asyncio.sleep(CONFIRM_AFTER_S)
                suspects &= await _stale_objects(kubernetes, indices, namespaces)
        except KubernetesError as error:
            _log.info("the comparison waits for the API server", extra={"why": str(error)})
        else:
            if suspects:
                return suspects


async def _stale_objects(
    kubernetes: Kubernetes, indices: Mapping[str, Index], namespaces: Sequence[str]
) -> set[StaleObject]:
    found: set[StaleObject] = set()
    for index, watched in WATCHED.items():
        # First what we have, then what there is: what is created in between is not stale.
        kept = {
            str(body["metadata"].get("uid", ""))
            for bodies in list(indices[index].values())
            for body in bodies
        }
        # As the watch asks: without a selector every pod of the cluster would be listed.
        selector = OURS if watched.ours_only else ""
        there = await kubernetes.list_uids(
            watched.group,
            watched.version,
            watched.plural,
            selector,
            namespaces if watched.namespaced else (),
        )
        found |= {(index, uid) for uid in kept - there}
    return found
