"""The end of a session, whatever its tasks do."""

import asyncio
import logging

import kopf
import pytest

from ferryman.handlers.running.teardown import (
    PATIENCE_S,
    ROUND_S,
    ROUNDS,
    CutOffError,
    HungError,
    run_to_end,
    wait_for_end,
)
from tests.fakes import run_virtually, seconds

BOUND_S = PATIENCE_S + (ROUNDS + 2) * ROUND_S


async def stubborn(times):
    """Ignore so many cancellations."""
    for _ in range(times):
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            continue


def end(monkeypatch, run, *stubborn_times, fails=False):
    """End a session of which ``run`` is what kopf does; return the seconds that it took."""

    async def main():
        others = asyncio.all_tasks()
        tasks = [asyncio.create_task(stubborn(times)) for times in stubborn_times]
        over = asyncio.Event()
        if not fails:
            asyncio.get_running_loop().call_later(100, over.set)
        try:
            await run_to_end(tasks, others, over)
        finally:
            taken.append(seconds() - 100)
            left.append(sum(not task.done() for task in tasks))

    taken, left = [], []
    monkeypatch.setattr(kopf, "run_tasks", run)
    run_virtually(main())
    return taken[0], left[0]


async def ends_at_once(_tasks, ignored):
    await asyncio.sleep(100)


async def waits_for_all(tasks, ignored):
    """Do as kopf: cancel once when told, and wait for as long as it takes."""
    await asyncio.sleep(100)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def fails_for_good(_tasks, ignored):
    await asyncio.sleep(1)
    raise RuntimeError("the watch failed")


def test_a_session_that_ends_by_itself_is_not_held_up(monkeypatch):
    taken_s, _ = end(monkeypatch, ends_at_once)
    assert taken_s < 1


def test_what_ended_kopf_is_raised(monkeypatch):
    with pytest.raises(RuntimeError, match="the watch failed"):
        end(monkeypatch, fails_for_good, fails=True)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_what_ignores_some_cancellations_ends_within_the_bound(times, monkeypatch):
    taken_s, left = end(monkeypatch, waits_for_all, times, 1)
    assert taken_s <= BOUND_S
    assert left == 0


def test_a_kopf_that_waits_for_nothing_is_cut_off(monkeypatch):
    async def waits_for_ever(_tasks, ignored):
        await asyncio.sleep(1e6)

    with pytest.raises(CutOffError):
        end(monkeypatch, waits_for_ever)


def test_what_never_ends_is_left_behind_and_said(monkeypatch, caplog):
    with pytest.raises(HungError, match="1 tasks"):
        end(monkeypatch, waits_for_all, ROUNDS + 5, 1)
    assert "tasks of a session do not end" in caplog.text


def test_a_cancellation_from_without_ends_everything(monkeypatch):
    async def main():
        others = asyncio.all_tasks()
        inner = asyncio.create_task(stubborn(2))

        async def hold():
            await run_to_end([inner], {*others, holding}, asyncio.Event())

        holding = asyncio.create_task(hold())
        await asyncio.sleep(5)
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        return holding.cancelled(), inner.done()

    monkeypatch.setattr(kopf, "run_tasks", waits_for_all)
    assert run_virtually(main()) == (True, True)


def test_of_our_own_tasks_those_that_failed_or_hang_are_said(caplog):
    caplog.set_level(logging.ERROR)

    async def fails():
        raise RuntimeError("out of order")

    async def main():
        tasks = [asyncio.create_task(stubborn(n), name=f"t{n}") for n in (0, 1, 2)]
        tasks.append(asyncio.create_task(fails()))
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await wait_for_end(tasks)
        await wait_for_end([])

    run_virtually(main())
    assert [record.message for record in caplog.records] == [
        "a task had ended",
        "a task does not end",
    ]
    assert caplog.records[1].task == "t2"
