"""Requests to a pipeline over gRPC, each with a value that its answer must follow from."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import tritonclient.grpc.aio as grpcclient
from tritonclient.utils import InferenceServerException

from benchmarks.pipelines.shapes import INPUT, Shape

TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request; seconds on one monotonic clock."""

    sent_s: float
    done_s: float
    failure: str = ""

    @property
    def took_s(self) -> float:
        """How long the client waited."""
        return self.done_s - self.sent_s


class Client:
    """A client of one pipeline on one server."""

    def __init__(self, address: str, shape: Shape) -> None:
        self._client = grpcclient.InferenceServerClient(address)
        self._shape = shape
        self._sent = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ask(self) -> Answer:
        """Send one request and hold its answer against what must come out."""
        self._sent += 1
        value = float(self._sent % 1_000)
        tensor = grpcclient.InferInput(INPUT, [1, 1], "FP32")
        tensor.set_data_from_numpy(np.full((1, 1), value, np.float32))
        sent_s = time.monotonic()
        try:
            found = await self._client.infer(self._shape.name, [tensor], client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            return Answer(sent_s, time.monotonic(), str(error.message()))
        done_s = time.monotonic()
        wrong = {
            name: wanted
            for name, wanted in self._shape.expected(value).items()
            if found.as_numpy(name).item() != wanted
        }
        return Answer(sent_s, done_s, f"wrong answers of {sorted(wrong)}" if wrong else "")

    async def ask_at_once(self, count: int) -> list[Answer]:
        """Send so many requests without waiting for answers."""
        return list(await asyncio.gather(*(self.ask() for _ in range(count))))

    async def ask_one_by_one(self, count: int) -> list[Answer]:
        """Send the next request when the last one is answered."""
        return [await self.ask() for _ in range(count)]

    async def ask_every(self, period_s: float, count: int) -> list[Answer]:
        """Send a request each period, however slow the answers are."""
        begin_s, tasks = time.monotonic(), []
        for number in range(count):
            await asyncio.sleep(max(0.0, begin_s + number * period_s - time.monotonic()))
            tasks.append(asyncio.create_task(self.ask()))
        return list(await asyncio.gather(*tasks))


def require_all(answers: Sequence[Answer]) -> None:
    """Raise RuntimeError where a request failed: a time without its answer says nothing."""
    failures = [answer.failure for answer in answers if answer.failure]
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(answers)} requests failed: {failures[0]}")
