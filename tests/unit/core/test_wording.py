import pytest

from ferryman.api.batching import Batching
from ferryman.core.wording import describe, same_words


def test_a_batching_in_words():
    assert describe(Batching(max_batch_size=4, instances=2)).endswith("2 instances")


def test_what_is_seldom_set_is_named_only_where_it_is():
    batching = Batching(
        max_batch_size=8,
        preferred_batch_size=(2, 4),
        default_timeout_microseconds=40_000,
        max_queue_size=100,
    )
    assert describe(batching) == (
        "batch 8, delay 0 µs, 1 instance, preferred 2 and 4, rejected after 40000 µs, queue of 100"
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("a carries 10", "a carries 10.5", True, id="noise"),
        pytest.param("a carries 10", "a carries 20", False, id="another figure"),
        pytest.param("a carries 10", "b carries 10", False, id="other words"),
        pytest.param("a carries 10", "a carries 10 of 20", False, id="more figures"),
        pytest.param("", "", True, id="nothing"),
    ],
)
def test_messages_say_the_same_but_for_noise(one, other, same):
    assert same_words(one, other) is same
