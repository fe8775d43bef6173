"""The Triton servers of each object's pods, model by model: connections, looks, and counters."""

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
from ferryman.handlers.tenants.fair_limit import FairLimit
from ferryman.handlers.work_queue import Backoff

_log = logging.getLogger(__name__)

T = TypeVar("T")
#: (pod address, model, control key) -> connection
Connect = Callable[[str, str, str], TritonServer]

#: Questions to Triton servers that are under way at once: over all models, and in one namespace.
MAX_QUESTIONS: Final = 64
NAMESPACE_QUESTIONS: Final = 16
#: A failure that took so long was no answer: one that is quick costs nothing.
_SLOW_S: Final = 1.0
#: After so many in a row a pod is left alone for a while: doubled each time, up to a cap.
_PATIENCE: Final = 3
_PAUSES: Final = Backoff(first_s=5.0, cap_s=60.0)
_STARTED: Final = ("Running",)


@dataclass(slots=True)
class _Connection:
    """A connection to one model of one pod's Triton, and what was said of it."""

    key: Key
    control_key: str
    server: TritonServer
    ready: bool = True
    """Whether the pod is: before that its Triton may still be starting."""
    answers: bool = True
    """Whether its Triton did when it was asked last."""
    said: set[tuple[int, str, str]] = field(default_factory=set)
    """Level, question and words of what was logged since the question was answered."""
    slow: int = 0
    """Questions in a row that it let time out."""
    pause_until_s: float = 0.0
    """It is not asked before that."""

    def is_ready(self, ready: bool) -> None:  # noqa: FBT001
        """Take note whether the pod is ready; what was learned of the other state is void."""
        if ready != self.ready:
            self.ready, self.slow, self.pause_until_s = ready, 0, 0.0

    def failed(self, question: str, error: TritonUnavailable, took_s: float, now_s: float) -> None:
        """Log why there is no answer, once; leave a pod alone that lets one wait and wait."""
        self.answers = False
        self.slow = self.slow + 1 if took_s >= _SLOW_S else 0
        if self.slow >= _PATIENCE:
            self.pause_until_s = now_s + _PAUSES.pause_s(self.slow - _PATIENCE + 1)
        level = logging.WARNING if self.ready else logging.INFO
        words = level, question, str(error)
        if words not in self.said:
            self.said.add(words)
            extra = {**self.key.in_log(), "question": question, "why": str(error)}
            _log.log(level, "a pod's Triton gave no answer", extra=extra)

    def answered(self, question: str) -> None:
        """Have the next failure logged again."""
        self.answers, self.slow = True, 0
        self.said = {words for words in self.said if words[1] != question}


#: Address of a pod, and the name of a model in its Triton.
_Place = tuple[str, str]


class Servers:
    """Keeps a connection for each model of a pod for as long as the object has that pod.

    A server holds one model by default, which is named like the object that it serves.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connections: dict[Key, dict[_Place, _Connection]] = {}
        self._questions: FairLimit[str] = FairLimit(MAX_QUESTIONS, NAMESPACE_QUESTIONS)

    def server(self, key: Key, ip: str, control_key: str, model: str | None = None) -> TritonServer:
        """Return the connection to a pod; another control key means another server."""
        return self._connection(key, ip, control_key, model).server

    async def poll(
        self, key: Key, pods: Iterable[Manifest], control_key: str, model: str | None = None
    ) -> dict[str, ServerModel]:
        """Return what the Triton of each running pod says; pods that do not answer are absent."""
        running = {pod["metadata"]["name"]: pod for pod in pods if _runs(pod)}
        await self._close_others(key, {pod["status"]["podIP"] for pod in running.values()})
        connections = {}
        for name, pod in running.items():
            connections[name] = self._connection(key, pod["status"]["podIP"], control_key, model)
            connections[name].is_ready(condition(pod, "Ready") is not None)
        return await self._ask("model", connections, lambda server: server.model())

    async def statistics(
        self, key: Key, pods: Iterable[PodView], control_key: str, model: str | None = None
    ) -> dict[str, Statistics]:
        """Return the counters of each ready pod that answers."""
        connections = {
            pod.name: self._connection(key, pod.ip, control_key, model)
            for pod in pods
            if pod.ready and pod.ip
        }
        return await self._ask("statistics", connections, lambda server: server.statistics())

    def answers(self) -> Iterator[tuple[Key, Mapping[str, bool]]]:
        """Yield by object which addresses answered when they were asked last, by any model."""
        for key, known in self._connections.items():
            answering = {ip for (ip, _), connection in known.items() if connection.answers}
            yield key, {ip: ip in answering for ip, _ in known}

    async def close(self, key: Key) -> None:
        """Close all connections of a model."""
        for connection in self._connections.pop(key, {}).values():
            await connection.server.close()

    async def close_all(self) -> None:
        """Close all connections."""
        for key in list(self._connections):
            await self.close(key)

    def _connection(
        self, key: Key, ip: str, control_key: str, model: str | None = None
    ) -> _Connection:
        known, name = self._connections.setdefault(key, {}), model or key.name
        present = known.get((ip, name))
        if present is not None and present.control_key == control_key:
            return present
        made = _Connection(key, control_key, self._connect(ip, name, control_key))
        known[ip, name] = made
        return made

    async def _close_others(self, key: Key, ips: set[str]) -> None:
        known = self._connections.get(key, {})
        for place in [place for place in known if place[0] not in ips]:
            await known.pop(place).server.close()

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
        async with self._questions.place(connection.key.namespace):
            begun_s = asyncio.get_running_loop().time()
            if begun_s < connection.pause_until_s:
                return None
            try:
                answer = await ask(connection.server)
            except TritonUnavailable as error:
                # The conditions show only that the pod's batching is unknown, not why.
                now_s = asyncio.get_running_loop().time()
                connection.failed(question, error, now_s - begun_s, now_s)
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
