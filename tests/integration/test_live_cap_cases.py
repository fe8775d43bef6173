"""The live cap's two invariants, on a real tritonserver, over generated cases.

`make test` runs a few; `make test-live-cap` sets LIVE_CAP_CASES and runs hundreds.
"""

import asyncio
import os
from collections import Counter
from itertools import product

import pytest

from hack import livecap
from tests.integration.live_cap import NO_BOUND, POLICIES, Runner, generate
from tests.integration.tritonserver import TritonServer

FEW, MANY = 6, 208
AT_ONCE = 8
CASES = [generate(seed) for seed in range(int(os.environ.get("LIVE_CAP_CASES", FEW)))]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120 + 6 * len(CASES)),
    pytest.mark.skipif(livecap.compiler() is None, reason="there is no C compiler here"),
]


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live-cap")
    (folder / "models").mkdir()
    library = livecap.build(folder)
    with TritonServer(folder / "models") as server:
        seen = asyncio.run(Runner(server, library, folder).run(CASES, AT_ONCE))
    batches = sum(len(one.batches) for one in seen)
    judged = sum(1 for one in seen for _ in one.settled())
    print(f"{len(seen)} cases, {sum(one.sent for one in seen)} requests, {batches} batches, ")
    print(f"{judged} of them long enough after a change to be judged")
    return seen


def test_no_batch_exceeds_the_bound_once_a_change_has_settled(observed):
    faults = {seen.case: seen.excesses()[:5] for seen in observed if seen.excesses()}
    assert not faults, "\n".join(f"{case}: {excess}" for case, excess in faults.items())


def test_every_request_is_answered_within_delay_queue_and_service(observed):
    faults = {seen.case: seen.faults[:5] for seen in observed if seen.faults}
    assert not faults, "\n".join(f"{case}: {fault}" for case, fault in faults.items())
    assert all(seen.sent == seen.answered + seen.rejected for seen in observed)


def test_only_requests_of_a_model_with_a_queue_timeout_are_rejected(observed):
    assert all(not seen.rejected or seen.case.may_reject for seen in observed)


def test_batches_are_not_held_below_the_bound(observed):
    """Where a queue waits for a model of single-row requests, its batches reach the bound."""
    reached = Counter()
    for seen in observed:
        if seen.case.rows != (1,) or seen.case.preferred or not seen.case.prefetches:
            continue
        for phase in seen.case.phases:
            bound = min(phase.bound or seen.case.max_batch_size, seen.case.max_batch_size)
            sizes = [sum(rows) for judged, rows in seen.settled() if judged is phase]
            if seen.case.saturated(phase) and sizes:
                reached[max(sizes) == bound] += 1
    print(
        f"saturated phases whose batches reached the bound: {reached[True]}, not: {reached[False]}"
    )
    assert reached[False] <= max(1, 0.1 * reached.total())


def test_two_hundred_cases_cover_every_mode():
    cases = [generate(seed) for seed in range(MANY)]

    def seen_in(of):
        return {of(case) for case in cases}

    assert seen_in(lambda c: (c.variable, c.delay_us > 0, c.instances > 1)) == set(
        product((False, True), repeat=3)
    )
    assert seen_in(lambda c: (c.policy, c.delay_us > 0)) == set(product(POLICIES, (False, True)))
    assert seen_in(lambda c: (len(c.rows) > 1, bool(c.preferred))) == set(
        product((False, True), repeat=2)
    )
    assert {phase.text for case in cases for phase in case.phases} >= set(NO_BOUND)
