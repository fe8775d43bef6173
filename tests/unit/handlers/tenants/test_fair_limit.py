"""Places that are shared fairly."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ferryman.handlers.tenants.fair_limit import FairLimit
from tests.fakes import run_virtually, seconds


def play(limit, visits):
    """Hold places for a second each; return per visit when it began, and the most at once."""
    begun, held, most = [], [], []

    async def visit(number, group):
        async with limit.place(group):
            begun.append((number, seconds()))
            held.append(group)
            most.append((len(held), max(map(held.count, held))))
            await asyncio.sleep(1)
            held.remove(group)

    async def main():
        await asyncio.gather(*(visit(number, group) for number, group in enumerate(visits)))

    run_virtually(main())
    return dict(begun), most


def test_who_waits_alone_waits_for_one_place_however_many_others_wait():
    begun, _ = play(FairLimit(4, 4), ["a"] * 400 + ["b"])
    assert begun[400] == 1.0
    assert begun[399] == 100.0


def test_many_groups_do_not_keep_one_waiting():
    begun, _ = play(FairLimit(4, 2), [f"hostile-{n % 20}" for n in range(400)] + ["b"])
    assert begun[400] <= 6.0, "twenty before it, four at a time"


@given(
    visits=st.lists(st.sampled_from("abc"), max_size=30),
    total=st.integers(1, 6),
    each=st.integers(1, 6),
)
def test_limits_are_kept_and_everybody_is_served(visits, total, each):
    begun, most = play(FairLimit(total, each), visits)
    assert len(begun) == len(visits)
    assert all(at_once <= total and of_one <= each for at_once, of_one in most)


@given(given_up=st.lists(st.integers(0, 9), max_size=8), after_s=st.floats(0, 3))
def test_whoever_gives_up_takes_no_place_along(given_up, after_s):
    async def main():
        limit = FairLimit(2, 2)

        async def visit():
            async with limit.place("a"):
                await asyncio.sleep(1)

        tasks = [asyncio.create_task(visit()) for _ in range(10)]
        await asyncio.sleep(after_s)
        for number in given_up:
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limit.has_room("a")
        await asyncio.gather(limit.acquire("a"), limit.acquire("b"))
        assert not limit.has_room("a")

    run_virtually(main())
