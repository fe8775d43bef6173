"""The Triton servers of each model's pods: connections, looks, and counters."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ferryman.api.resources import Key
from ferryman.api.statistics import ServerModel, Statistics
from ferryman.clients.triton import TritonServer, TritonUnavailable
from ferryman.core.manifests import Manifest, condition
from ferryman.core.snapshot import PodView

_log = logging.getLogger(__name__)

T = TypeVar("T")
#: (pod address, model, control key) -> connection
Connect = Callable[[str, str, str], TritonServer]

#: Questions to Triton servers that are under way at once, over all models.
MAX_QUESTIONS: Final = 64
_STARTED: Final = ("Running",)


@dataclass(slots=True)
class _Connection:
    """A connection to the Triton of one pod, and what was said of it."""

    key: Key
    control_key: str
    server: TritonServer
    ready: bool = True
    """Whether the pod is: before that its Triton may still be starting."""
    answers: bool = True
    """Whether its Triton did when it was asked last."""
    said: set[tuple[int, str, str]] = field(default_factory=set)
    """Level, question and words of what was logged since the question was answered."""

    def failed(self, question: str, error: TritonUnavailable) -> None:
        """Log why there is no answer, once."""
        self.answers = False
        level = logging.WARNING if self.ready else logging.INFO
        words = level, question, str(error)
        if words not in self.said:
            self.said.add(words)
            extra = {**self.key.in_log(), "question": question, "why": str(error)}
            _log.log(level, "a pod's Triton gave no answer", extra=extra)

    def answered(self, question: str) -> None:
        """Have the next failure logged again."""
        self.answers = True
        self.said = {words for words in self.said if words[1] != question}


class Servers:
    """Keeps one connection per pod address for as long as the model has that pod."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connections: dict[Key, dict[str, _Connection]] = {}
        self._questions = asyncio.Semaphore(MAX_QUESTIONS)

    def server(self, key: Key, ip: str, control_key: str) -> TritonServer:
        """Return the connection to a pod; another control key means another server."""
        return self._connection(key, ip, control_key).server

    async def poll(
        self, key: Key, pods: Iterable[Manifest], control_key: str
    ) -> dict[str, ServerModel]:
        """Return what the Triton of each running pod says; pods that do not answer are absent."""
        running = {pod["metadata"]["name"]: pod for pod in pods if _runs(pod)}
        await self._close_others(key, {pod["status"]["podIP"] for pod in running.values()})
        connections = {}
        for name, pod in running.items():
            connections[name] = self._connection(key, pod["status"]["podIP"], control_key)
            connections[name].ready = condition(pod, "Ready") is not None
        return await self._ask("model", connections, lambda server: server.model())

    async def statistics(
        self, key: Key, pods: Iterable[PodView], control_key: str
    ) -> dict[str, Statistics]:
        """Return the counters of each ready pod that answers."""
        connections = {
            pod.name: self._connection(key, pod.ip, control_key)
            for pod in pods
            if pod.ready and pod.ip
        }
        return await self._ask("statistics", connections, lambda server: server.statistics())

    def answers(self) -> Iterator[tuple[Key, Mapping[str, bool]]]:
        """Yield by model which addresses answered when they were asked last."""
        for key, known in self._connections.items():
            yield key, {ip: connection.answers for ip, connection in known.items()}

    async def close(self, key: Key) -> None:
        """Close all connections of a model."""
        for connection in self._connections.pop(key, {}).values():
            await connection.server.close()

    async def close_all(self) -> None:
        """Close all connections."""
        for key in list(self._connections):
            await self.close(key)

    def _connection(self, key: Key, ip: str, control_key: str) -> _Connection:
        known = self._connections.setdefault(key, {})
        present = known.get(ip)
        if present is not None and present.control_key == control_key:
            return present
        known[ip] = _Connection(key, control_key, self._connect(ip, key.name, control_key))
        return known[ip]

    async def _close_others(self, key: Key, ips: set[str]) -> None:
        known = self._connections.get(key, {})
        for ip in known.keys() - ips:
            await known.pop(ip).server.close()

    async def _ask(
        self,
        question: str,
        connections: Mapping[str, _Connection],
        ask: Callable[[TritonServer], Awaitable[T]],
    ) -> dict[str, T]:
        answers = await asyncio.gather(
            *(self._answer(question, connection, ask) for connection in connections.values())
        )
        named = zip(connections, answers, strict=True)
        return {name: answer for name, answer in named if answer is not None}

    async def _answer(
        self,
        question: str,
        connection: _Connection,
        ask: Callable[[TritonServer], Awaitable[T]],
    ) -> T | None:
        async with self._questions:
            try:
                answer = await ask(connection.server)
            except TritonUnavailable as error:
                # The conditions show only that the pod's batching is unknown, not why.
                connection.failed(question, error)
                return None
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                return None  # gRPC says so of a call whose channel is closed meanwhile
        connection.answered(question)
        return answer


def _is_cancelled() -> bool:
    """Whether it is this task that is to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _runs(pod: Manifest) -> bool:
    status = pod.get("status", {})
    ends = pod["metadata"].get("deletionTimestamp")
    return bool(status.get("podIP")) and status.get("phase") in _STARTED and not ends
