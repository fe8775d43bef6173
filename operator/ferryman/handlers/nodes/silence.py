"""Nodes that fall silent, noticed before Kubernetes gives them up.

Where no Triton on a node answers any more, the Lease of its kubelet is looked at until it is
renewed. What makes a node silent is decided in ``core.pods.silence``.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ferryman.clients.kubernetes import Kubernetes
from ferryman.clients.kubernetes_errors import ForbiddenError, KubernetesError, NotFoundError
from ferryman.core.manifests import condition
from ferryman.core.pods import silence
from ferryman.core.pods.silence import Heartbeat
from ferryman.handlers.cache import Cache
from ferryman.handlers.servers import Servers

_log = logging.getLogger(__name__)

PERIOD_S: Final = 2.0


class Silence:
    """Which nodes are silent. ``on_change`` is called when others are."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        cache: Cache,
        servers: Servers,
        *,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._kubernetes = kubernetes
        self._cache = cache
        self._servers = servers
        self._clock = clock
        self._on_change = on_change
        self._heard: dict[str, Heartbeat] = {}
        self._silent: frozenset[str] = frozenset()

    def nodes(self) -> frozenset[str]:
        """Return the names of the nodes that are silent."""
        return self._silent

    async def run(self) -> None:
        """Listen until cancelled, or until it shows that we may not."""
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                await self.poll()
            except ForbiddenError as error:
                extra = {"why": str(error)}
                _log.warning("nodes that die are noticed by their condition alone", extra=extra)
                return
            except KubernetesError:
                # Kubelets could not renew anything meanwhile either: listening starts over.
                self._heard = {}
            except Exception:  # noqa: BLE001  logged with its trace; the next poll may succeed
                _log.exception("the look at nodes that are silent failed")

    async def poll(self) -> None:
        """Look at the Lease of each node of which no pod answers, or that was silent before."""
        heard = {}
        for node in sorted(self._suspects() | self._silent):
            try:
                lease = await self._kubernetes.node_lease(node)
            except NotFoundError:
                continue  # the node is gone, which its own event says
            heard[node] = silence.listen(self._heard.get(node), lease, self._clock())
        self._heard = heard
        now_s = self._clock()
        silent = frozenset(node for node, last in heard.items() if last.is_silent(now_s))
        if silent != self._silent:
            came, went = sorted(silent - self._silent), sorted(self._silent - silent)
            _log.warning("nodes fell silent or are back", extra={"silent": came, "back": went})
            self._silent = silent
            self._on_change()

    def _suspects(self) -> set[str]:
        """Return the nodes with ready pods of which none answered when it was asked last."""
        asked = list(self._servers.answers())
        if all(all(answers.values()) for _, answers in asked):
            return set()  # as nearly always: no pod needs to be looked at
        answering: set[str] = set()
        silent: set[str] = set()
        for key, answers in asked:
            for pod in self._cache.pods(key):
                address, node = pod["status"].get("podIP", ""), pod["spec"].get("nodeName", "")
                if address in answers and condition(pod, "Ready") is not None:
                    (answering if answers[address] else silent).add(node)
        return silent - answering
