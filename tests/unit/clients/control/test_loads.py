"""Loads that Triton does not end: waited for within bounds, and told by counters what serves."""

import asyncio

import pytest

from ferryman.clients.control.loads import LateError, Loads, Witness
from tests.factories import statistics

STEP_S = 0.1


def reading(now_s, executions, *, ran_s=None, size=1):
    """Return counters of batches that took 100 ms each, unless told otherwise."""
    busy_ns = round((executions * STEP_S if ran_s is None else ran_s) * 1e9)
    return statistics(now_s, executions, batches={size: (executions, busy_ns)})


def seen(instances, *readings):
    witness = Witness(instances)
    return [witness.sees_more(each) for each in readings]


@pytest.mark.parametrize(
    ("readings", "sees"),
    [
        pytest.param([(0, 0), (1, 10)], False, id="one instance, always busy"),
        pytest.param([(0, 0), (1, 11)], False, id="and a batch that began before"),
        pytest.param([(0, 0), (1, 12)], True, id="two instances"),
        pytest.param([(0, 0), (1, 10), (2, 30)], True, id="two since the second reading"),
        pytest.param([(0, 0), (1, 10), (2, 3)], False, id="counters that begin anew"),
        pytest.param([(0, 0), (0.2, 4)], True, id="in a short time"),
        pytest.param([(0, 0), (0.1, 2)], False, id="in a time in which one may be of before"),
        pytest.param([(0, 0), (1, 0), (2, 0)], False, id="nothing runs"),
    ],
)
def test_more_instances_are_seen_by_what_ran(readings, sees):
    assert seen(1, *(reading(*each) for each in readings))[-1] is sees


def test_a_batch_size_that_was_not_seen_before_counts():
    assert seen(1, reading(0, 10, size=1), reading(1, 8, ran_s=2.5, size=4)) == [False, True]


class Load:
    """A load that ends when told."""

    def __init__(self):
        self.end = asyncio.Event()
        self.error = None
        self.calls = 0

    async def __call__(self):
        """Load as told."""
        self.calls += 1
        await self.end.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def loads(request):
    return Loads(request.node.name, "m")


async def serving(count):
    return count


async def nothing_more():
    await asyncio.Event().wait()
    return 0


async def test_a_load_that_ends_is_waited_for(loads):
    load = Load()
    load.end.set()
    await loads.carry_out(load, within_s=1, grown=nothing_more)
    assert (load.calls, loads.serving) == (1, None)


async def test_a_load_that_fails_says_so(loads):
    load = Load()
    load.end.set()
    load.error = ValueError("refused")
    with pytest.raises(ValueError, match="refused"):
        await loads.carry_out(load, within_s=1)


async def test_a_growth_ends_when_its_instances_serve_and_is_followed_until_it_has(loads):
    load = Load()
    await loads.carry_out(load, within_s=1, grown=lambda: serving(3))
    assert loads.serving == 3
    load.end.set()
    await asyncio.sleep(0.01)
    assert loads.serving is None, "now the configuration says so itself"
    await loads.carry_out(load, within_s=1)


@pytest.mark.parametrize("grown", [None, nothing_more], ids=["a shrink", "a growth"])
async def test_what_does_not_end_is_late_and_no_other_is_sent_behind_it(loads, grown, monkeypatch):
    monkeypatch.setattr("ferryman.clients.control.loads.EARLIER_WITHIN_S", 0.05)
    load = Load()
    with pytest.raises(LateError, match=r"has not ended after 0\.05 s"):
        await loads.carry_out(load, within_s=0.05, grown=grown)
    with pytest.raises(
        LateError, match=r"an earlier load of model m of Triton at .* not ended yet"
    ):
        await loads.carry_out(load, within_s=1)
    assert load.calls == 1
    load.end.set()
    await asyncio.sleep(0.01)
    await loads.carry_out(load, within_s=1)
    assert load.calls == 2


async def test_a_load_that_fails_when_nobody_waits_any_more_is_told_in_the_log(loads, caplog):
    caplog.set_level("INFO")
    load = Load()
    load.error = ValueError("out of memory")
    await loads.carry_out(load, within_s=1, grown=lambda: serving(3))
    load.end.set()
    await asyncio.sleep(0.01)
    assert [record.why for record in caplog.records] == ["out of memory"]
    assert loads.serving is None


async def test_a_connection_that_is_closed_follows_nothing(loads):
    load = Load()
    await loads.carry_out(load, within_s=1, grown=lambda: serving(3))
    await loads.close()
    assert loads.serving is None
    await loads.close()
