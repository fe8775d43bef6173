"""Operators that share one Lease: at most one may write at any time."""

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from ferryman.clients.kubernetes_errors import ConflictError, TemporaryError
from ferryman.clients.triton import TritonUnavailable
from ferryman.core.election import LEASE_S, RENEW_EVERY_S, WRITES_FOR_S
from ferryman.handlers.running.fenced import FencedServer
from ferryman.handlers.running.leadership import ANSWER_WITHIN_S, Leadership
from tests.fakes import run_virtually, seconds

BEGIN = datetime(2026, 11, 30, tzinfo=UTC)


class OneLease:
    """A Lease in an API server, which each operator reaches by a line of its own."""

    def __init__(self):
        self.spec, self.version = None, 0

    def written(self, spec):
        """Take a write."""
        self.spec = {**(self.spec or {}), **spec}
        self.version += 1
        return self.manifest()

    def manifest(self):
        """Return the object."""
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": dict(self.spec)}


class Line:
    """One operator's way to the Lease; what it is told to do goes wrong."""

    def __init__(self, lease):
        self.lease, self.cut, self.delay_s = lease, False, 0.0

    async def _pass(self):
        await asyncio.sleep(self.delay_s)
        if self.cut:
            raise TemporaryError("no route to host")

    async def read(self):
        """Ask."""
        await self._pass()
        return self.lease.manifest() if self.lease.spec else None

    async def create(self, spec):
        """Create."""
        await self._pass()
        if self.lease.spec:
            raise ConflictError("it exists", status=409)
        return self.lease.written(spec)

    async def change(self, version, spec):
        """Change, if nobody did."""
        await self._pass()
        if version != str(self.lease.version):
            raise ConflictError("it changed", status=409)
        return self.lease.written(spec)


def operator(lease, identity):
    """Return an operator that takes part, and its line."""
    line = Line(lease)
    now = lambda: BEGIN + timedelta(seconds=seconds())  # noqa: E731
    return Leadership(line, identity, seconds, now), line


def writers(*operators):
    """Return who may write now."""
    return [one.identity for one in operators if one.may_write_for_s() > 0]


def test_the_first_leads_and_the_other_stands_by(caplog):
    async def main():
        lease = OneLease()
        (one, _), (two, _) = operator(lease, "one"), operator(lease, "two")
        async with one.taking_part():
            await asyncio.sleep(1)
            async with two.taking_part():
                await asyncio.sleep(60)
                assert writers(one, two) == ["one"]
                assert (two.leads.is_set(), two.hindrance, two.holder()) == (False, None, "one")
        return lease.spec["holderIdentity"]

    caplog.set_level(logging.INFO)
    assert run_virtually(main()) == "", "given back at the end"
    assert caplog.text.count("another operator leads") == 1, "said once"


def test_a_lease_that_is_given_back_is_taken_at_the_next_look():
    async def main():
        lease = OneLease()
        (one, _), (two, _) = operator(lease, "one"), operator(lease, "two")
        async with one.taking_part():
            await asyncio.sleep(1)
        async with two.taking_part():
            await asyncio.sleep(RENEW_EVERY_S)
            assert writers(one, two) == ["two"]

    run_virtually(main())


def test_a_lease_is_given_back_whatever_became_of_the_renewal_that_was_under_way():
    """Its answer was not waited for; one more comes in between the look and the write."""

    async def main():
        lease = OneLease()
        one, line = operator(lease, "one")
        async with one.taking_part():
            await asyncio.sleep(1)
            lease.written({"renewTime": "heard by nobody"})
            look = line.read

            async def overtaken():
                line.read = look
                found = await look()
                lease.written({"renewTime": "late"})
                return found

            line.read = overtaken
        assert lease.spec["holderIdentity"] == ""

    run_virtually(main())


def test_a_lease_that_another_one_took_is_not_given_back():
    async def main():
        lease = OneLease()
        one, _ = operator(lease, "one")
        async with one.taking_part():
            await asyncio.sleep(1)
            lease.written({"holderIdentity": "two"})
        assert lease.spec["holderIdentity"] == "two"

    run_virtually(main())


def test_whoever_is_cut_off_stops_writing_before_another_begins_and_stands_by_afterwards():
    async def main():
        lease = OneLease()
        (one, line), (two, _) = operator(lease, "one"), operator(lease, "two")
        async with one.taking_part():
            await asyncio.sleep(1)
            async with two.taking_part():
                await asyncio.sleep(5)
                line.cut, cut_s, followed_s = True, seconds(), None
                while followed_s is None:
                    await asyncio.sleep(0.1)
                    assert len(writers(one, two)) <= 1
                    followed_s = seconds() - cut_s if "two" in writers(one, two) else None
                assert one.leads.is_set(), "it does not know yet, and writes nothing"
                line.cut = False
                await asyncio.sleep(2 * RENEW_EVERY_S)
                assert (one.leads.is_set(), one.lost.is_set()) == (False, True)
                return followed_s

    assert run_virtually(main()) <= LEASE_S + 2 * RENEW_EVERY_S


def test_an_outage_of_everybody_ends_no_turn(caplog):
    async def main():
        one, line = operator(OneLease(), "one")
        async with one.taking_part():
            await asyncio.sleep(1)
            line.cut = True
            await asyncio.sleep(300)
            assert writers(one) == []
            assert (one.leads.is_set(), one.hindrance) == (True, "no route to host")
            line.cut = False
            await asyncio.sleep(RENEW_EVERY_S + 0.1)
            assert writers(one) == ["one"]

    run_virtually(main())
    assert caplog.text.count("the Lease was not renewed or read") == 1


def test_an_answer_that_does_not_come_is_not_waited_for():
    async def main():
        one, line = operator(OneLease(), "one")
        line.delay_s = 3600
        async with one.taking_part():
            await asyncio.sleep(ANSWER_WITHIN_S + 0.1)
            assert one.hindrance == "no answer within 5 s"
            line.delay_s = 0.0
            await asyncio.sleep(RENEW_EVERY_S)
            assert writers(one) == ["one"]
            line.delay_s = 3600

    run_virtually(main())


def test_of_two_that_ask_at_once_one_leads():
    async def main():
        lease = OneLease()
        (one, first), (two, second) = operator(lease, "one"), operator(lease, "two")
        first.delay_s = second.delay_s = 0.1
        async with one.taking_part(), two.taking_part():
            await asyncio.sleep(1)
            assert len(writers(one, two)) == 1

    run_virtually(main())


def test_a_restart_in_the_same_pod_goes_on_at_once():
    async def main():
        lease = OneLease()
        before, line = operator(lease, "pod-1")
        async with before.taking_part():
            await asyncio.sleep(1)
            line.cut = True  # it was killed: nothing is given back
        after, _ = operator(lease, "pod-1")
        async with after.taking_part():
            await asyncio.sleep(0.1)
            assert writers(after) == ["pod-1"]

    run_virtually(main())


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_lines_do_no_two_may_write(seed):
    """Cuts and slow answers at random: at no moment two may write, and most of the time one may."""
    draw = random.Random(seed)

    async def main():
        lease = OneLease()
        pairs = [operator(lease, name) for name in ("one", "two", "three")]
        operators = [one for one, _ in pairs]
        led = 0
        async with AsyncExitStack() as stack:
            for one in operators:
                await stack.enter_async_context(one.taking_part())
            for _ in range(600):
                for _, line in pairs:
                    if draw.random() < 0.05:
                        line.cut = not line.cut
                    line.delay_s = draw.choice([0.0, 0.0, 0.3, 4.0])
                await asyncio.sleep(draw.uniform(0.1, 1.0))
                assert len(writers(*operators)) <= 1
                led += len(writers(*operators))
            for _, line in pairs:
                line.cut, line.delay_s = False, 0.0
        return led

    assert run_virtually(main()) > 100


class _AskedServer:
    """A server that takes down what it is told to do."""

    def __init__(self):
        self.asked = []

    async def model(self):
        return "model"

    async def statistics(self):
        return "statistics"

    async def configuration(self):
        return {}

    async def call_s(self, payload_bytes):
        return payload_bytes / 1e3

    async def apply_batching(self, batching, *, config_pbtxt=None):
        self.asked.append((batching, config_pbtxt))

    async def load(self, config_pbtxt, *, within_s=None, more_than=None):
        self.asked.append((config_pbtxt, within_s, more_than))

    async def infer(self, request, *, within_s):
        self.asked.append((request, within_s))

    async def close(self):
        self.asked.append("closed")


def test_only_whoever_may_write_changes_a_server():
    async def main():
        server, left = _AskedServer(), [WRITES_FOR_S]
        fenced = FencedServer(server, lambda: left[0])
        await fenced.apply_batching("batching", config_pbtxt="text")
        await fenced.load("text", within_s=3.0, more_than=2)
        await fenced.infer(b"request", within_s=4.0)
        left[0] = 0.0
        with pytest.raises(TritonUnavailable, match="does not lead"):
            await fenced.apply_batching("batching")
        with pytest.raises(TritonUnavailable, match="does not lead"):
            await fenced.load("text")
        with pytest.raises(TritonUnavailable, match="does not lead"):
            await fenced.infer(b"request", within_s=4.0)
        answers = [await fenced.model(), await fenced.statistics(), await fenced.configuration()]
        assert answers == ["model", "statistics", {}]
        assert await fenced.call_s(2000) == 2.0
        await fenced.close()
        done = [("batching", "text"), ("text", 3.0, 2), (b"request", 4.0)]
        assert server.asked == [*done, "closed"]

    run_virtually(main())
