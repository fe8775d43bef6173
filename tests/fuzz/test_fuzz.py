"""All inputs that ever mattered, and for some seconds new ones made of them.

The long runs, which Atheris guides to what was not reached yet, are ``make fuzz``'s.
"""

import logging
import time

import pytest

from tests.fuzz import corpora, mutation
from tests.fuzz.mutation import mutate
from tests.fuzz.targets import TARGETS

#: Of processor time, for each target.
SECONDS = 1.0


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # protobuf's own
@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_and_what_is_made_of_it_is_answered_within_bounds(name):
    target, pool = TARGETS[name], list(corpora.everything(name))
    for data in pool:
        target.execute_alone(data)
    began_s, number = time.thread_time(), 0
    while time.thread_time() - began_s < SECONDS:
        data = mutate(pool[number % len(pool)], target.most_bytes, number, target.words)
        target.execute_alone(data)
        number += 1
    assert number


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_no_longer_than_what_is_made_of_them(name):
    assert all(len(seed) <= TARGETS[name].most_bytes for seed in TARGETS[name].seeds())


def test_a_change_can_be_repeated_and_is_one():
    data = b'{"a": [1, {"b": "c"}], "d": null}'
    made = [mutate(data, 4096, seed, ("e",)) for seed in range(200)]
    assert made == [mutate(data, 4096, seed, ("e",)) for seed in range(200)]
    assert len(set(made)) > 150


def test_changes_leave_the_values_as_they_are():
    """An empty list that one input gets and another fills would be in every later one."""
    for seed in range(20_000):
        mutate(b'[[], {}, {"a": []}]', 4096, seed, ("a",))
    assert [each for each in mutation.VALUES if isinstance(each, list | dict)] == [[], {}]


def test_no_input_is_longer_than_allowed():
    assert all(len(mutate(b"[1, 2]", 64, seed)) <= 64 for seed in range(500))
