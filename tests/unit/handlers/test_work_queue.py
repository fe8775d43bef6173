# ruff: noqa: D102  a recorder's methods are told by its docstring
import asyncio

import pytest

from ferryman.handlers.work_queue import MOST, Backoff, WorkQueue
from tests.fakes import run_virtually, seconds


class Recorder:
    """A handler that notes when each key was handled and how many ran at once."""

    def __init__(self, takes_s=1.0, answers=None):
        self.takes_s = takes_s
        self.answers = answers or {}
        self.handled = []
        self.running = set()
        self.overlaps = []
        self.most = 0
        self.failures = []

    async def __call__(self, key):
        if key in self.running:
            self.overlaps.append(key)
        self.running.add(key)
        self.most = max(self.most, len(self.running))
        self.handled.append((key, seconds()))
        await asyncio.sleep(self.takes_s)
        self.running.discard(key)
        answer = self.answers.get(key, [])
        result = answer.pop(0) if answer else None
        if isinstance(result, Exception):
            raise result
        return result

    def note_failure(self, key, error, pause_s):
        self.failures.append((key, str(error), pause_s))


def run_queue(recorder, script, *, until_s=100.0, workers=2, backoff=None):
    """Run a queue on virtual time while a script adds keys; return the queue."""

    async def main():
        queue = WorkQueue(
            recorder, workers=workers, backoff=backoff, on_failure=recorder.note_failure
        )
        running = asyncio.create_task(queue.run())
        await script(queue)
        await asyncio.sleep(until_s - seconds())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return queue

    return run_virtually(main())


def test_a_key_added_many_times_is_handled_once():
    recorder = Recorder()

    async def script(queue):
        for _ in range(5):
            queue.add("a")

    run_queue(recorder, script)
    assert recorder.handled == [("a", 0)]


def test_a_key_added_while_it_is_handled_is_handled_once_more_and_never_twice_at_once():
    recorder = Recorder(takes_s=1.0)

    async def script(queue):
        queue.add("a")
        await asyncio.sleep(0.5)
        queue.add("a")
        queue.add("a")

    run_queue(recorder, script)
    assert [key for key, _ in recorder.handled] == ["a", "a"]
    assert recorder.handled[1][1] >= 1.0, "the second turn comes after the first"
    assert recorder.overlaps == []


def test_no_more_keys_are_handled_at_once_than_there_are_workers():
    recorder = Recorder()

    async def script(queue):
        for key in "abcdef":
            queue.add(key)

    run_queue(recorder, script, workers=3)
    assert recorder.most == 3
    assert [at for _, at in recorder.handled] == [0, 0, 0, 1, 1, 1]
    assert [key for key, _ in recorder.handled] == list("abcdef"), "first come, first served"


def test_the_answer_says_when_the_key_comes_back():
    recorder = Recorder(takes_s=0.0, answers={"a": [5.0, 7.0]})

    async def script(queue):
        queue.add("a")

    run_queue(recorder, script)
    assert [at for _, at in recorder.handled] == [0, 5, 12]


@pytest.mark.parametrize(
    ("delays_s", "handled_at_s"),
    [
        pytest.param([10, 3], [3], id="the earlier of two delays wins"),
        pytest.param([3, 10], [3], id="a later delay does not postpone"),
        pytest.param([10, 0], [0], id="at once cancels the delay"),
    ],
)
def test_of_several_delays_the_earliest_counts(delays_s, handled_at_s):
    recorder = Recorder(takes_s=0.0)

    async def script(queue):
        for delay_s in delays_s:
            queue.add("a", delay_s)

    run_queue(recorder, script)
    assert [at for _, at in recorder.handled] == handled_at_s


def test_failures_are_retried_with_growing_pauses_up_to_the_cap():
    errors = [RuntimeError(f"no {n}") for n in range(5)]
    recorder = Recorder(takes_s=0.0, answers={"a": [*errors, None]})

    async def script(queue):
        queue.add("a")

    run_queue(recorder, script, backoff=Backoff(first_s=1.0, cap_s=4.0))
    assert [pause for _, _, pause in recorder.failures] == [1, 2, 4, 4, 4]
    assert [at for _, at in recorder.handled] == [0, 1, 3, 7, 11, 15]
    assert recorder.failures[0][1] == "no 0", "on_failure is told why"


def test_a_success_ends_the_row_of_failures():
    answers = [RuntimeError("1"), RuntimeError("2"), 1.0, RuntimeError("3")]
    recorder = Recorder(takes_s=0.0, answers={"a": answers})

    async def script(queue):
        queue.add("a")

    run_queue(recorder, script, backoff=Backoff(first_s=1.0, cap_s=60.0))
    assert [pause for _, _, pause in recorder.failures] == [1, 2, 1]


def test_one_key_that_fails_does_not_hold_up_another():
    recorder = Recorder(takes_s=0.0, answers={"a": [RuntimeError("no")] * 50})

    async def script(queue):
        queue.add("a")
        await asyncio.sleep(2)
        queue.add("b")

    run_queue(recorder, script, workers=1)
    assert ("b", 2) in recorder.handled


def test_what_is_cancelled_within_a_handler_does_not_end_its_worker():
    recorder = Recorder(takes_s=0.0, answers={"a": [None]})
    cancelled = [True]

    async def handle(key):
        if cancelled:
            cancelled.pop()
            raise asyncio.CancelledError("a channel was closed")
        return await recorder(key)

    async def main():
        queue = WorkQueue(handle, workers=1, on_failure=recorder.note_failure)
        running = asyncio.create_task(queue.run())
        queue.add("a")
        await asyncio.sleep(5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtually(main())
    assert recorder.handled == [("a", 0.5)]
    assert "a channel was closed" in recorder.failures[0][1]


def test_what_somebody_waits_for_comes_first():
    recorder = Recorder(takes_s=1.0)

    async def script(queue):
        for key in "abcd":
            queue.add(key)
        await asyncio.sleep(0.5)
        queue.add("x", first=True)
        queue.add("d", first=True)
        queue.add("x")

    run_queue(recorder, script, workers=1)
    assert [key for key, _ in recorder.handled] == ["a", "x", "d", "b", "c"]


def test_depth_and_stuck_time_are_told():
    seen = []

    async def script(queue):
        seen.append((queue.depth, queue.stuck_s()))
        for key in "abc":
            queue.add(key, first=key == "c")
        await asyncio.sleep(30)
        seen.append((queue.depth, queue.stuck_s()))
        await asyncio.sleep(95)
        seen.append((queue.depth, queue.stuck_s()))

    run_queue(Recorder(takes_s=40.0), script, workers=1, until_s=200)
    assert seen[0] == (0, 0)
    assert seen[1] == (2, 30), "two have waited since the start"
    assert seen[2] == (0, 0)


def test_ending_the_queue_disarms_its_timers():
    recorder = Recorder()

    async def main():
        queue = WorkQueue(recorder, workers=1)
        running = asyncio.create_task(queue.run())
        queue.add("a", 5.0)
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(10)
        return queue.depth

    assert run_virtually(main()) == 0


def tenants(**options):
    """Return a queue's options with keys of the form TENANT/NAME."""
    return {"group_of": lambda key: key.partition("/")[0], **options}


def run_tenants(handle, script, *, until_s=1000.0, **options):
    """Run a queue of tenants on virtual time while a script adds keys."""

    async def main():
        queue = WorkQueue(lambda key: handle(queue, key), **tenants(**options))
        running = asyncio.create_task(queue.run())
        await script(queue)
        await asyncio.sleep(until_s - seconds())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtually(main())


def test_a_thousand_keys_of_one_tenant_do_not_hold_up_another():
    handled = {}

    async def handle(_queue, key):
        await asyncio.sleep(1)
        handled[key] = seconds()

    async def script(queue):
        for number in range(1000):
            queue.add(f"a/{number}")
        await asyncio.sleep(0.5)
        queue.add("b/1")

    run_tenants(handle, script, workers=4, share=2)
    assert handled["b/1"] < 3
    assert len(handled) == 1001


def test_one_tenant_has_no_more_than_its_share_of_the_workers():
    at_once, most = set(), []

    async def handle(_queue, key):
        at_once.add(key)
        most.append(len(at_once))
        await asyncio.sleep(1)
        at_once.discard(key)

    async def script(queue):
        for number in range(20):
            queue.add(f"a/{number}")

    run_tenants(handle, script, workers=8, share=3)
    assert max(most) == 3


def test_whoever_waits_aside_leaves_the_worker_to_others():
    handled = {}

    async def handle(queue, key):
        if key not in {"b/1", "hung/fine"}:
            async with queue.aside(key):
                await asyncio.sleep(300)
        handled[key] = seconds()

    async def script(queue):
        for number in range(20):
            queue.add(f"hung/{number}")
        await asyncio.sleep(1)
        queue.add("b/1")
        queue.add("hung/fine")

    run_tenants(handle, script, workers=2)
    assert handled["b/1"] == handled["hung/fine"] == 1.0
    assert handled["hung/19"] == 300.0


def test_a_key_that_waits_aside_is_not_handled_twice_at_once():
    begun = []

    async def handle(queue, key):
        begun.append(seconds())
        async with queue.aside(key):
            await asyncio.sleep(10)

    async def script(queue):
        queue.add("a/1")
        await asyncio.sleep(1)
        queue.add("a/1")

    run_tenants(handle, script, workers=2)
    assert begun == [0.0, 10.0]


def test_of_one_tenant_so_many_keys_are_under_way_and_the_rest_is_no_fault_of_the_queues():
    begun, stuck = [], []

    async def handle(queue, key):
        begun.append(key)
        async with queue.aside(key):
            await asyncio.sleep(300)

    async def script(queue):
        for number in range(MOST + 5):
            queue.add(f"a/{number}")
        await asyncio.sleep(200)
        assert len(begun) == MOST
        assert queue.depth == 5
        stuck.append(queue.stuck_s())
        queue.add("b/1")
        await asyncio.sleep(1)
        assert begun[-1] == "b/1"

    run_tenants(handle, script, workers=4)
    assert stuck == [0.0]
    assert len(begun) == MOST + 6


def test_what_fails_aside_is_tried_again_and_the_workers_are_all_there_afterwards():
    tries = []

    async def handle(queue, key):
        tries.append(seconds())
        if key == "a/1" and len(tries) < 4:
            async with queue.aside(key):
                raise RuntimeError("no answer")
        await asyncio.sleep(1)

    async def script(queue):
        queue.add("a/1")
        await asyncio.sleep(50)
        tries.clear()
        tries.extend([0.0] * 4)
        queue.add("a/2")
        queue.add("a/3")

    run_tenants(handle, script, workers=1)
    assert tries[4:] == [50.0, 51.0], "one worker, and not two"
