"""What is reported of an object that this version cannot read."""

import pytest
from pydantic import ValidationError

from ferryman.api.inference_model import InferenceModel
from ferryman.core.status import unreadable
from tests.factories import NOW, at, model


def broken(status=None, **spec):
    body = model().as_dict()
    body["spec"] |= {"replicas": "many", **spec}
    return {**body, "status": status} if status is not None else body


def error_of(body):
    with pytest.raises(ValidationError) as caught:
        InferenceModel.model_validate(body)
    return caught.value


def status_of(body):
    error = error_of(body)
    keep = not unreadable.is_about_status(error)
    return unreadable.status(body, unreadable.words(error), NOW, keep_status=keep)


def condition(kind, state, since_s=-60.0, reason="Serving"):
    return {
        "type": kind,
        "status": state,
        "reason": reason,
        "message": "before",
        "observedGeneration": 1,
        "lastTransitionTime": at(since_s),
    }


def test_it_is_not_ready_and_stalled_in_words_that_name_the_field():
    found = status_of(broken())
    assert found["observedGeneration"] == 1
    assert [(c["type"], c["status"], c["reason"]) for c in found["conditions"]] == [
        ("Ready", "False", "InvalidSpec"),
        ("Stalled", "True", "InvalidSpec"),
    ]
    assert found["conditions"][0]["message"].startswith(
        "the object cannot be read: spec.replicas: "
    )
    assert {c["lastTransitionTime"] for c in found["conditions"]} == {at()}


def test_the_rest_of_the_status_stays_also_what_another_version_wrote():
    theirs = condition("FromTheFuture", "True")
    before = {
        "conditions": [
            condition("Ready", "True"),
            condition("Reconciling", "True"),
            theirs,
            condition("Placed", "True"),
        ],
        "url": "http://x",
        "newer": {"field": 1},
    }
    found = status_of(broken(before))
    assert (found["url"], found["newer"]) == ("http://x", {"field": 1})
    kinds = [c["type"] for c in found["conditions"]]
    assert kinds == ["Ready", "Placed", "Stalled", "FromTheFuture"], "it is reconciled no more"
    assert found["conditions"][-1] == theirs


def test_a_condition_keeps_the_time_since_when_it_is_so():
    before = {"conditions": [condition("Ready", "False"), condition("Stalled", "True", -5)]}
    ready, stalled = status_of(broken(before))["conditions"]
    assert (ready["lastTransitionTime"], stalled["lastTransitionTime"]) == (at(-60), at(-5))


def test_told_once_it_is_told_the_same_again():
    first = status_of(broken())
    assert status_of(broken(first)) == first


@pytest.mark.parametrize("status", [{"conditions": "none"}, {"placement": 7}])
def test_a_status_that_cannot_be_read_itself_is_replaced(status):
    assert set(status_of(broken(status))) == {"observedGeneration", "conditions"}


def test_many_problems_are_counted_not_listed():
    body = broken(
        model=1, runtimeRef=1, objectives=1, placement=1, batching=1, progressDeadlineSeconds="x"
    )
    words = unreadable.words(error_of(body))
    assert words.endswith(" and 2 more")
    assert words.count("; ") == 4


def test_of_an_object_that_is_too_large_it_says_what_to_shorten():
    words = unreadable.too_large("it has 2 MiB, of which 1 MiB is read")
    assert words.startswith("it has 2 MiB, of which 1 MiB is read: shorten spec.model.config")
