"""What is read from a server's counters."""

from hack.demo import watching

BATCH = {"compute_infer": {"count": 3, "ns": 60_000_000}}


def test_device_time_is_that_of_batches_and_not_once_for_each_of_their_requests():
    counted = {
        "inference_stats": {"compute_infer": {"count": 24, "ns": 480_000_000}},
        "batch_stats": [{"batch_size": 8, **BATCH}, {"batch_size": 4, **BATCH}],
        "execution_count": 6,
    }
    assert (watching.executed_s(counted), watching.executions(counted)) == (0.12, 6)


def test_a_model_that_was_never_asked_has_used_nothing():
    assert watching.executed_s({"batch_stats": []}) == 0
