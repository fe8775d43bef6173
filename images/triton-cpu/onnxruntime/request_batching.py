"""Answer several requests with one run: group by shape, concatenate, run, split.

Pure array work: no Triton, no ONNX Runtime. One request's error never fails another's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

Feeds = dict[str, np.ndarray]
Outputs = list[np.ndarray]
Run = Callable[[Feeds], Outputs]


def answer(
    requests: Sequence[Feeds | Exception], run: Run, *, batched: bool
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
            groups.setdefault(_shape_key(feeds, index, batched=batched), {})[index] = feeds
    for group in groups.values():
        outcomes = _run_group(list(group.values()), run, batched=batched)
        for index, outcome in zip(group, outcomes, strict=True):
            answers[index] = outcome
    return answers


def _problem(feeds: Feeds, *, batched: bool) -> Exception | None:
    """Refuse a request whose inputs do not count the same number of rows."""
    if not batched:
        return None
    rows = {name: len(array) for name, array in feeds.items()}
    if len(set(rows.values())) > 1:
        return ValueError(f"inputs differ in their batch dimension: {rows}")
    return None


def _shape_key(feeds: Feeds, index: int, *, batched: bool) -> Hashable:
    """Return what requests must share to be concatenated; without batching none share it."""
    if not batched:
        return index
    return tuple((name, array.shape[1:]) for name, array in sorted(feeds.items()))


def _run_group(group: Sequence[Feeds], run: Run, *, batched: bool) -> list[Outputs | Exception]:
    """Run a group at once; where that fails, each alone, so that only the guilty fail."""
    try:
        if not batched:
            return [run(feeds) for feeds in group]
        return _run_together(group, run)
    except Exception as error:  # noqa: BLE001  whatever the runtime raises is the answer
        if len(group) == 1:
            return [error]
        return [_run_group([feeds], run, batched=batched)[0] for feeds in group]


def _run_together(group: Sequence[Feeds], run: Run) -> list[Outputs | Exception]:
    feeds = {name: np.concatenate([member[name] for member in group]) for name in group[0]}
    rows = [len(next(iter(member.values()))) for member in group]
    outputs = run(feeds)
    for output in outputs:
        if output.ndim == 0 or len(output) != sum(rows):
            shape = list(output.shape)
            raise ValueError(f"an output of shape {shape} is not one for each row of {sum(rows)}")
    ends = np.cumsum(rows)[:-1]
    split = [np.split(output, ends) for output in outputs]
    return [list(parts) for parts in zip(*split, strict=True)]
