"""Batchings in words, as messages and tables have them."""

from collections.abc import Iterator

from ferryman.api.batching import Batching


def describe(batching: Batching) -> str:
    """Return a batching in words, for messages."""
    plural = "" if batching.instances == 1 else "s"
    parts = (
        f"batch {batching.max_batch_size}",
        f"delay {batching.max_queue_delay_microseconds} µs",
        f"{batching.instances} instance{plural}",
        *describe_more(batching),
    )
    return ", ".join(parts)


def describe_more(batching: Batching) -> Iterator[str]:
    """Yield in words what most batchings leave open: preferred sizes and when requests go."""
    if batching.preferred_batch_size:
        yield f"preferred {' and '.join(map(str, batching.preferred_batch_size))}"
    if batching.default_timeout_microseconds:
        yield f"rejected after {batching.default_timeout_microseconds} µs"
    if batching.max_queue_size:
        yield f"queue of {batching.max_queue_size}"
