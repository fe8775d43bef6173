"""A pipeline that is asked for twice what it can answer, on a real Triton."""

import pytest

from benchmarks.pipelines import overload

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def test_all_are_answered_or_rejected():
    """How much is accepted, and how soon, the benchmark says: it runs where nothing else does."""
    found = overload.run(overloaded_s=8, capacity_s=4)
    print(found)
    assert found["otherwise"] == 0
    assert found["accepted"] > 0
    assert found["rejected"] > 0
