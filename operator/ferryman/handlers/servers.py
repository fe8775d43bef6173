"""The Triton servers of each model's pods: connections, looks, and counters."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeVar

from ferryman.api.statistics import ServerModel, Statistics
from ferryman.clients.triton import TritonServer, TritonUnavailable
from ferryman.core.snapshot import PodView
from ferryman.handlers.cache import Key, Manifest

T = TypeVar("T")
#: (pod address, model, control key) -> connection
Connect = Callable[[str, str, str], TritonServer]

#: Questions to Triton servers that are under way at once, over all models.
MAX_QUESTIONS: Final = 64
_STARTED: Final = ("Running",)


class Servers:
    """Keeps one connection per pod address for as long as the model has that pod."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connections: dict[Key, dict[str, tuple[str, TritonServer]]] = {}
        self._questions = asyncio.Semaphore(MAX_QUESTIONS)

    def server(self, key: Key, ip: str, control_key: str) -> TritonServer:
        """Return the connection to a pod; another control key means another server."""
        known = self._connections.setdefault(key, {})
        present = known.get(ip)
        if present is not None and present[0] == control_key:
            return present[1]
        server = self._connect(ip, key[1], control_key)
        known[ip] = (control_key, server)
        return server

    async def look(
        self, key: Key, pods: Iterable[Manifest], control_key: str
    ) -> dict[str, ServerModel]:
        """Return what the Triton of each running pod says; pods that do not answer are absent."""
        running = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in pods if _runs(pod)}
        await self._close_others(key, set(running.values()))
        return await self._ask(
            {name: self.server(key, ip, control_key).model for name, ip in running.items()}
        )

    async def statistics(
        self, key: Key, pods: Iterable[PodView], control_key: str
    ) -> dict[str, Statistics]:
        """Return the counters of each ready pod that answers."""
        return await self._ask(
            {
                pod.name: self.server(key, pod.ip, control_key).statistics
                for pod in pods
                if pod.ready and pod.ip
            }
        )

    async def close(self, key: Key) -> None:
        """Close all connections of a model."""
        for _, server in self._connections.pop(key, {}).values():
            await server.close()

    async def close_all(self) -> None:
        """Close all connections."""
        for key in list(self._connections):
            await self.close(key)

    async def _close_others(self, key: Key, ips: set[str]) -> None:
        known = self._connections.get(key, {})
        for ip in known.keys() - ips:
            await known.pop(ip)[1].close()

    async def _ask(self, questions: Mapping[str, Callable[[], Awaitable[T]]]) -> dict[str, T]:
        answers = await asyncio.gather(*(self._answer(ask) for ask in questions.values()))
        named = zip(questions, answers, strict=True)
        return {name: answer for name, answer in named if answer is not None}

    async def _answer(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        async with self._questions:
            try:
                return await ask()
            except TritonUnavailable:
                return None  # shown by the conditions: the pod's batching is unknown
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                return None  # gRPC says so of a call whose channel is closed meanwhile


def _is_cancelled() -> bool:
    """Whether it is this task that is to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _runs(pod: Manifest) -> bool:
    status = pod.get("status", {})
    ends = pod["metadata"].get("deletionTimestamp")
    return bool(status.get("podIP")) and status.get("phase") in _STARTED and not ends
