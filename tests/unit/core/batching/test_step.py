from datetime import timedelta
from functools import partial

import pytest

from ferryman.api.batching import Batching, Guardrails
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.core.batching import changes
from ferryman.core.batching.actuators import Server
from ferryman.core.batching.changes import Actuation
from ferryman.core.batching.step import Rules, StepContext, step
from ferryman.core.triton import config as triton_config
from ferryman.core.tuners.needs import Replicas
from ferryman.core.tuners.protocol import Decision
from ferryman.core.tuners.select import TuneDecision, TunerState
from tests.factories import NOW

APPLIED = Batching(max_batch_size=8)
LARGER = Batching(max_batch_size=16)
MORE_INSTANCES = Batching(max_batch_size=8, instances=2)
BEFORE, AFTER, ELSE = (TunerState(met_in_a_row=n) for n in (1, 2, 3))
ANY = Server()
CONTENDERS = Decision(LARGER, "Climb", "up the hill", (0,))
RULES = Rules(Guardrails(min_seconds_between_reloads=60, max_reloads_per_hour=2))


def word(batching=LARGER, reason=Reason.SATURATED, **fields):
    return TuneDecision(batching, reason, "why", AFTER, **fields)


def history(after=LARGER, outcome="Applied", seconds_ago=10.0, *, reason=Reason.SATURATED):
    """Return the record of one change."""
    actuation = Actuation(APPLIED, after, "Reload", reason, "why", ())
    then = NOW - timedelta(seconds=seconds_ago)
    status = changes.record_started(InferenceModelStatus(), actuation, then)
    return changes.record_outcome(status, actuation, outcome, "no", then).batching


def decide(said, past=None, rules=RULES, *, applied=APPLIED, servers=(ANY,)):
    past = past or InferenceModelStatus().batching
    return step(said, StepContext(applied, past, servers, rules, NOW), state=BEFORE)


@pytest.mark.parametrize(
    ("batching", "actuator"),
    [
        pytest.param(LARGER, "Reload", id="another bound: by a reload"),
        pytest.param(MORE_INSTANCES, "InPlace", id="other instances alone: in place"),
    ],
)
def test_what_the_algorithm_wants_is_changed_by_the_cheapest_means(batching, actuator):
    done = decide(word(batching))

    assert (done.verb, done.batching, done.actuator) == ("Change", batching, actuator)
    assert (done.reason, done.message, done.state) == (Reason.SATURATED, "why", AFTER)


def test_where_triton_has_nothing_to_compare_with_other_instances_are_a_reload():
    done = decide(word(MORE_INSTANCES), servers=(Server(), Server(in_place=False)))

    assert (done.verb, done.actuator) == ("Change", "Reload")


def test_what_is_in_force_stays():
    done = decide(word(APPLIED, Reason.MET, needs=Replicas(3)))

    assert (done.verb, done.actuator, done.state, done.needs) == ("Stay", None, AFTER, Replicas(3))


def test_a_batching_that_reads_as_what_is_in_force_stays():
    same = Batching(max_batch_size=8, preferred_batch_size=(8,))

    assert (decide(word(same)).verb, decide(word(same)).batching) == ("Stay", APPLIED)


@pytest.mark.parametrize(
    ("said", "state", "kept"),
    [
        pytest.param(word(), BEFORE, "that of before", id="that of before"),
        pytest.param(word(if_refused=ELSE), ELSE, "what it says", id="what the algorithm says"),
        pytest.param(CONTENDERS, BEFORE, "of before", id="a contender's of before"),
    ],
)
def test_a_reload_waits_for_the_interval_and_the_state_is(said, state, kept):
    done = decide(said, history(seconds_ago=10))

    assert (done.verb, done.reason, done.state) == ("Wait", Reason.RELOAD_INTERVAL, state), kept
    assert done.message.startswith("batch 16, delay 0 µs, 1 instance waits: the last reload")


def test_a_change_in_place_waits_for_nothing():
    assert decide(word(MORE_INSTANCES), history(seconds_ago=1)).verb == "Change"


def test_without_guardrails_a_reload_waits_for_nothing():
    assert decide(word(), history(seconds_ago=1), Rules(guardrails=None)).verb == "Change"


@pytest.mark.parametrize("reason", [Reason.ROLLED_BACK, Reason.BATCH_TOO_LARGE])
def test_a_rollback_never_waits_unless_reloads_are_forbidden(reason):
    back = word(Batching(max_batch_size=4), reason)
    spent, forbidden = (Rules(Guardrails(max_reloads_per_hour=allowed)) for allowed in (1, 0))

    assert decide(back, history(seconds_ago=10), spent).verb == "Change"
    waiting = decide(back, history(seconds_ago=10), forbidden)
    assert (waiting.verb, waiting.reason) == ("Wait", Reason.RELOAD_BUDGET_SPENT)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        pytest.param(word(), AFTER, id="the algorithm goes on"),
        pytest.param(word(if_refused=ELSE), ELSE, id="unless it says otherwise"),
    ],
)
def test_what_triton_refused_is_not_tried_again_within_an_hour(said, state):
    done = decide(said, history(outcome="Refused", seconds_ago=3_000))

    assert (done.verb, done.reason, done.state) == ("Stay", Reason.CONFIG_REFUSED, state)
    assert decide(said, history(outcome="Refused", seconds_ago=3_700)).verb == "Change"


def test_after_an_interrupted_change_the_same_one_waits_a_little():
    interrupted = history(outcome="Interrupted", seconds_ago=10)

    assert decide(word(), interrupted, Rules(None)).verb == "Wait"
    assert decide(word(Batching(max_batch_size=4)), interrupted, Rules(None)).verb == "Change"
    assert decide(word(), history(outcome="Interrupted", seconds_ago=40), Rules(None)).verb == (
        "Change"
    )


RECOMMEND = Rules(Guardrails(max_reloads_per_hour=0), recommend=True)


@pytest.mark.parametrize(
    ("said", "verb"),
    [
        pytest.param(word(LARGER), "Recommend", id="what is wanted is recommended"),
        pytest.param(word(APPLIED, Reason.MET), "Recommend", id="to stay is a recommendation"),
        pytest.param(word(APPLIED, Reason.LEARNING), "Stay", id="no decision is none"),
    ],
)
def test_with_recommend_nothing_changes_and_no_guardrail_binds(said, verb):
    assert (decide(said, rules=RECOMMEND).verb, decide(said).batching) == (verb, said.batching)


def test_with_recommend_the_algorithm_knows_that_it_was_not_followed():
    assert decide(word(if_refused=ELSE), rules=RECOMMEND).state == ELSE
    assert decide(word(), rules=RECOMMEND).state == AFTER


# What the model's own configuration states

STATED = {"dynamic_batching": {"preferred_batch_size": [4, 8]}}
UNDER_OVERLAY = Rules(Guardrails(), in_effect=partial(triton_config.in_effect, STATED))


def test_what_the_configuration_keeps_from_coming_into_force_stays_and_the_algorithm_knows():
    applied = APPLIED.with_(preferred_batch_size=(4, 8))
    other = word(APPLIED.with_(preferred_batch_size=(2,)), if_refused=ELSE)
    done = decide(other, rules=UNDER_OVERLAY, applied=applied)

    assert (done.verb, done.batching, done.actuator, done.state) == ("Stay", applied, None, ELSE)


def test_what_it_leaves_of_a_batching_is_changed():
    done = decide(word(), rules=UNDER_OVERLAY, applied=APPLIED.with_(preferred_batch_size=(4, 8)))

    assert (done.verb, done.batching) == ("Change", LARGER.with_(preferred_batch_size=(4, 8)))


def test_what_failed_under_another_specification_is_tried_again():
    failed = history(outcome="Refused")

    assert decide(word(), failed, Rules(None)).verb == "Stay"
    assert decide(word(), failed, Rules(None, generation=2)).verb == "Change"


def test_what_failed_is_told_before_that_a_reload_must_wait():
    """It would not be made were it allowed, so an algorithm must not wait for that."""
    done = decide(word(), history(outcome="RolledBack", seconds_ago=1))

    assert (done.verb, done.reason, done.state) == ("Stay", Reason.ROLLED_BACK, AFTER)
