"""Answer several requests with one run: group those that go together, join, run, split.

Pure array work: no Triton, no ONNX Runtime. One request's error never fails another's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import numpy as np

Feeds = dict[str, np.ndarray]
Outputs = list[np.ndarray]
Run = Callable[[Feeds], Outputs]


class Layout(Protocol):
    """How the requests of a batch lie in the tensors of one run."""

    def key(self, feeds: Feeds) -> Hashable:
        """Return what requests must share to run together."""

    def join(self, members: Sequence[Feeds]) -> Feeds:
        """Return the inputs of the run."""

    def split(self, outputs: Outputs, members: Sequence[Feeds]) -> list[Outputs]:
        """Deal the run's outputs out to the requests; raise where they cannot be."""


class Rows:
    """Each request has rows of its own; requests whose rows have one shape go together."""

    def key(self, feeds: Feeds) -> Hashable:
        """Return the shape of a row of each input."""
        return tuple((name, array.shape[1:]) for name, array in sorted(feeds.items()))

    def join(self, members: Sequence[Feeds]) -> Feeds:
        """Put the rows one after the other."""
        return {name: np.concatenate([member[name] for member in members]) for name in members[0]}

    def split(self, outputs: Outputs, members: Sequence[Feeds]) -> list[Outputs]:
        """Give each request as many rows as it sent."""
        split = [split_rows(output, members) for output in outputs]
        return [list(parts) for parts in zip(*split, strict=True)]


def split_rows(output: np.ndarray, members: Sequence[Feeds]) -> list[np.ndarray]:
    """Split an output into each request's rows; raise where it has other than theirs."""
    counts = [rows_of(member) for member in members]
    if output.ndim == 0 or len(output) != sum(counts):
        shape = list(output.shape)
        raise ValueError(f"an output of shape {shape} is not one for each row of {sum(counts)}")
    return np.split(output, np.cumsum(counts)[:-1])


def rows_of(feeds: Feeds) -> int:
    """Return how many rows a request has."""
    return len(next(iter(feeds.values())))


ROWS = Rows()


def answer(
    requests: Sequence[Feeds | Exception], run: Run, *, batched: bool, layout: Layout = ROWS
) -> list[Outputs | Exception]:
    """Return each request's outputs, or its error, in the order of the requests.

    A request that could not be read comes as an Exception and is returned as it is.
    """
    answers: list[Outputs | Exception] = [ValueError("not answered")] * len(requests)
    groups: dict[Hashable, dict[int, Feeds]] = {}
    for index, feeds in enumerate(requests):
        if isinstance(feeds, Exception):
            answers[index] = feeds
        elif problem := _problem(feeds, batched=batched):
            answers[index] = problem
        else:
            key = layout.key(feeds) if batched else index
            groups.setdefault(key, {})[index] = feeds
    for group in groups.values():
        members = list(group.values())
        outcomes = _run_group(members, run, layout if batched else None)
        for index, outcome in zip(group, outcomes, strict=True):
            answers[index] = outcome
    return answers


def faults(answers: Sequence[Outputs | Exception]) -> list[str]:
    """Return what went wrong, each fault once, where not one request succeeded; else nothing."""
    errors = [each for each in answers if isinstance(each, Exception)]
    if len(errors) < len(answers):
        return []
    return list(dict.fromkeys(map(str, errors)))


def _problem(feeds: Feeds, *, batched: bool) -> Exception | None:
    """Refuse a request whose inputs do not count the same number of rows."""
    if not batched:
        return None
    rows = {name: len(array) for name, array in feeds.items()}
    if len(set(rows.values())) > 1:
        return ValueError(f"inputs differ in their batch dimension: {rows}")
    return None


def _run_group(
    group: Sequence[Feeds], run: Run, layout: Layout | None
) -> list[Outputs | Exception]:
    """Run a group at once; where that fails, each alone, so that only the guilty fail."""
    try:
        if layout is None:
            return [run(feeds) for feeds in group]
        return list(layout.split(run(layout.join(group)), group))
    except Exception as error:  # noqa: BLE001  whatever the runtime raises is the answer
        if len(group) == 1:
            return [error]
        return [_run_group([feeds], run, layout)[0] for feeds in group]
