"""All inputs that ever mattered, and for some seconds new ones made of them.

The long runs, which Atheris guides to what was not reached yet, are ``make fuzz``'s.
"""

import json
import logging
import time

import pytest

from tests.fuzz import __main__ as fuzzing
from tests.fuzz import corpora, mutation, repeats
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


def test_an_input_of_a_target_that_is_no_text_begins_as_a_tree_and_stays_one():
    """What a parser refuses at once would be most of all executions, and tell nothing."""
    assert mutation.NO_TREES.issubset(TARGETS)
    for name in set(TARGETS) - mutation.NO_TREES:
        target = TARGETS[name]
        seed = next(each for each in target.seeds() if mutation._with_head(each)[1] is not None)
        made = [mutate(seed, target.most_bytes, number, target.words) for number in range(200)]
        trees = sum(mutation._with_head(each)[1] is not None for each in made)
        assert trees > 150, name


def test_a_value_is_new_once():
    repeats.forget()
    assert repeats.is_new({"a": 1, "b": 2})
    assert not repeats.is_new({"a": 1, "b": 2})
    assert repeats.is_new({"b": 2, "a": 1}), "an order may matter"
    repeats.forget()
    assert repeats.is_new({"a": 1, "b": 2})


def _done(executions, edges=7, inputs=3):
    return f"#{executions}\tDONE   cov: {edges} ft: 9 corp: {inputs}/5b lim: 4096 exec/s: 1\n", 0


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """Have runs write into a folder, and the engine answer with what the test puts here."""
    answers, asked = [], []

    def answer(_name, *options):
        asked.append([str(option) for option in options])
        return answers.pop(0)

    monkeypatch.setattr(fuzzing, "WORK", tmp_path)
    monkeypatch.setattr(fuzzing, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(fuzzing, "_engine", answer)
    monkeypatch.setattr(corpora, "pack", lambda _name, _folder: 2)
    return answers, asked


def test_a_run_goes_on_in_further_processes_until_there_were_enough_executions(engine):
    answers, asked = engine
    answers += [_done(600), _done(400, edges=8), ("merged", 0)]
    assert fuzzing.fuzz("overlays", 1000, 0)
    assert [options[0] for options in asked] == ["-runs=1000", "-runs=400", "-merge=1"]
    found = fuzzing.results()["overlays"]
    assert (found.executions, found.edges, found.inputs) == (1000, 8, 2)
    assert fuzzing.fuzz("overlays", 1000, 0), "nothing is left to do"
    assert len(asked) == 3


def test_a_fault_ends_a_run_and_what_was_reached_before_it_is_kept(engine, capsys):
    answers, _ = engine
    answers += [_done(600), ("Traceback: a fault", 77)]
    assert not fuzzing.fuzz("overlays", 1000, 0)
    assert "a fault" in capsys.readouterr().out
    assert json.loads(fuzzing.RESULTS.read_text())["overlays"]["executions"] == 600
