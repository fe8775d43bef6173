"""A kubelet that does not renew its Lease is silent, whatever the clock of its node says."""

import pytest

from ferryman.core.pods import silence
from ferryman.core.pods.silence import Heartbeat


def lease(renewed, duration_s=40):
    return {"spec": {"renewTime": renewed, "leaseDurationSeconds": duration_s}}


def heard(*looks, duration_s=40):
    """Return what is known after looks: pairs of a time and what the Lease showed then."""
    found = None
    for at_s, renewed in looks:
        found = silence.listen(found, lease(renewed, duration_s), at_s)
    return found


@pytest.mark.parametrize(
    ("looks", "now_s", "expected"),
    [
        pytest.param([(100, "a")], 119, False, id="one look says nothing yet"),
        pytest.param([(100, "a"), (110, "a")], 119, False, id="nor one renewal that is missing"),
        pytest.param([(100, "a"), (110, "a")], 120, True, id="two that are missing do"),
        pytest.param([(100, "a"), (115, "b")], 120, False, id="it was renewed meanwhile"),
        pytest.param([(100, "a"), (115, "b")], 135, True, id="and not again"),
        pytest.param([(100, "1970-01-01T00:00:00Z")], 101, False, id="its clock is years behind"),
    ],
)
def test_two_renewals_that_are_missing_make_a_kubelet_silent(looks, now_s, expected):
    assert heard(*looks).is_silent(now_s) is expected


@pytest.mark.parametrize(("now_s", "expected"), [(199, False), (200, True)])
def test_kubelets_with_longer_leases_are_given_longer(now_s, expected):
    assert heard((100, "a"), (150, "a"), duration_s=200).is_silent(now_s) is expected


@pytest.mark.parametrize("empty", [{}, {"spec": {}}, {"spec": {"renewTime": None}}])
def test_a_lease_that_was_never_renewed_is_taken_for_one_of_the_usual_duration(empty):
    assert silence.listen(None, empty, 5.0) == Heartbeat("", 40.0, 5.0)
