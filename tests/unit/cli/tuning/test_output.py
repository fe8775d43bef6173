import io
import json
from contextlib import ExitStack
from datetime import timedelta

import pytest
from rich.console import Console

from ferryman.actuation.events import (
    Began,
    ChangeBegun,
    ChangeEnded,
    Decided,
    Ended,
    Entry,
    Moved,
    Observed,
    Reading,
    Silence,
)
from ferryman.actuation.session import SessionSettings
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.cli.tuning import journal as tune_journal
from ferryman.cli.tuning import lines as tune_lines
from ferryman.cli.tuning import output as tune_output
from ferryman.cli.tuning import view as tune_view
from ferryman.cli.tuning.options import Target
from ferryman.cli.tuning.output import Scene
from ferryman.clients.triton_survey import Survey
from ferryman.core.batching.step import Step
from ferryman.core.observation.objectives import judge
from ferryman.core.tuners.needs import Replicas, Unattainable
from tests import factories

OLD, NEW = Batching(max_batch_size=8), Batching(max_batch_size=16, instances=2)
OBJECTIVES = factories.objectives(latency_ms=50, throughput=200)
WINDOW = factories.window(latency_ms=61.2, latency_estimated=True, failures=3, rejected=4)


def step(batching=NEW, verb="Change", **fields):
    actuator = None if batching == OLD else "Reload"
    return Step(verb, batching, actuator, Reason.SATURATED, "the queue grows", None, **fields)


EVENTS = (
    Began(OLD),
    Reading(3.0, 420),
    Silence("no answer", 4.0),
    Observed(1, OLD, WINDOW, judge(OBJECTIVES, WINDOW)),
    Decided(1, OLD, step(needs=Replicas(3)), 1.5),
    ChangeBegun(OLD, NEW, "Reload", "Saturated", "the queue grows"),
    ChangeEnded(OLD, NEW, "Reload", "Saturated", "Applied", "the queue grows", NEW, 1.4),
    Moved(NEW, OLD),
    Ended(OLD, 1, "Lost", "no answer for 300 s"),
)


def entries(events=EVENTS):
    return [
        Entry(factories.NOW + timedelta(seconds=i, milliseconds=5), float(i), event)
        for i, event in enumerate(events)
    ]


# The journal


def test_each_event_but_readings_is_a_record_with_its_time():
    records = [tune_journal.as_json(entry) for entry in entries()]

    assert records[1] is None
    told = [record for record in records if record is not None]
    assert [record["event"] for record in told] == [
        "began", "silence", "window", "decision", "changeBegun", "change", "moved", "ended",
    ]  # fmt: skip
    assert told[2]["time"] == "2026-11-21T13:00:03.005Z"
    assert [record["elapsedSeconds"] for record in told] == [0, 2, 3, 4, 5, 6, 7, 8]
    assert json.loads(json.dumps(told)) == told


def test_a_window_is_recorded_in_full():
    record = tune_journal.as_json(entries()[3])

    assert record["applied"] == OLD.as_dict()
    assert (record["requests"], record["failures"], record["rejected"]) == (1000, 3, 4)
    assert (record["latencyMilliseconds"], record["latencyEstimated"]) == (61.2, True)
    assert record["serviceTimes"] == {"4": {"executions": 250, "milliseconds": 10.0}}
    assert (record["met"], record["reason"]) == (False, "LatencyAboveTarget")


def test_a_decision_and_a_change_say_what_how_why_and_what_came_of_it():
    decision, change = (tune_journal.as_json(entries()[i]) for i in (4, 6))

    assert (decision["verb"], decision["wanted"], decision["actuator"]) == (
        "Change",
        NEW.as_dict(),
        "Reload",
    )
    assert (decision["reason"], decision["needsReplicas"]) == ("Saturated", 3)
    assert decision["unattainable"] is None
    assert (change["before"], change["after"]) == (OLD.as_dict(), NEW.as_dict())
    assert (change["outcome"], change["tookSeconds"]) == ("Applied", 1.4)


# Lines


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "    0.0 s  in force: batch 8, delay 0 µs, 1 instance"),
        (1, ""),
        (2, "    2.0 s  silent for 4 s: no answer"),
        (
            3,
            (
                "    3.0 s  window 1: 100.0 requests/s, latency ~61.2 ms, queue 2.0 ms, mean batch "
                "4.00, 3 failed, 4 rejected: missed"
            ),
        ),
        (
            4,
            (
                "    4.0 s  change batch 16, delay 0 µs, 2 instances: Saturated, the queue grows "
                "(3 replicas would meet them)"
            ),
        ),
        (
            5,
            (
                "    5.0 s  changing (Reload) to batch 16, delay 0 µs, 2 instances; batch 8, "
                "delay 0 µs, 1 instance serves"
            ),
        ),
        (6, "    6.0 s  Applied after 1.4 s: the queue grows"),
        (8, "    8.0 s  lost: no answer for 300 s"),
    ],
)
def test_each_event_has_its_line(number, words):
    assert tune_lines.line(entries()[number]) == words


def test_to_stay_is_not_told_as_a_wish():
    event = Decided(
        1, OLD, step(OLD, "Stay", needs=Unattainable("a batch of one is too slow")), 1.0
    )
    words = tune_lines.line(Entry(factories.NOW, 1.0, event))

    assert words.endswith("stay: Saturated, the queue grows (a batch of one is too slow)")


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (None, ""),
        (Unattainable("a batch of one is too slow"), "a batch of one is too slow"),
        (Replicas(7), "7 replicas would meet them"),
    ],
)
def test_what_is_missing_is_told_in_replicas(needs, words):
    assert tune_lines.needs_words(needs) == words


def test_a_window_without_traffic_has_no_figures():
    nothing = factories.window(
        requests=0, requests_per_s=0.0, latency_ms=None, queue_ms=None, mean_batch_size=None
    )
    event = Observed(2, OLD, nothing, judge(OBJECTIVES, nothing))
    words = tune_lines.line(Entry(factories.NOW, 1.0, event))

    assert "0.0 requests/s, latency - ms, queue - ms, mean batch -: no traffic" in words


@pytest.mark.parametrize(
    ("latency_ms", "throughput", "words"),
    [
        (50, None, "p99 within 50 ms"),
        (None, 9, "at least 9 inferences/s"),
        (50, 9, "p99 within 50 ms and at least 9 inferences/s"),
    ],
)
def test_objectives_in_words(latency_ms, throughput, words):
    assert tune_lines.target_words(factories.objectives(latency_ms, throughput)) == words


@pytest.mark.parametrize(
    ("first", "applied", "recommended", "has", "fragment"),
    [
        pytest.param(OLD, OLD, None, "as in the beginning", False, id="nothing changed"),
        pytest.param(OLD, NEW, None, "in Triton's memory only", True, id="changed"),
        pytest.param(OLD, OLD, NEW, "Recommended is batch 16", True, id="recommended"),
        pytest.param(OLD, OLD, OLD, "nothing is to be", False, id="recommended as it is"),
    ],
)
def test_the_last_words_say_what_is_in_force_and_how_to_keep_it(
    first, applied, recommended, has, fragment
):
    words = tune_lines.closing(first, applied, recommended, "max_batch_size: 16")

    assert has in words
    assert ("max_batch_size: 16" in words) is fragment


# The display


def shown(events, notes=()):
    story = tune_view.Story("tuning m", "p99 within 50 ms", BatchingSpec(), notes)
    for entry in entries(events):
        story.add(entry)
    console = Console(width=180, file=io.StringIO(), record=True)
    console.print(tune_view.render(story))
    return console.export_text()


def test_before_the_first_window_the_display_says_what_it_waits_for():
    words = shown(EVENTS[:2], notes=("no metrics page",))

    assert "in force    batch 8, delay 0 µs, 1 instance" in words
    assert "objectives  p99 within 50 ms" in words
    assert "batch 1 to 64, delay 0 to 20000 µs, instances 1 to 4" in words
    assert "window: 420 of 1000 requests, 3 of 5 to 30 s" in words
    assert "note: no metrics page" in words
    assert "decision" not in words


def test_the_display_shows_windows_the_decision_and_changes():
    words = shown(EVENTS[:7])

    assert "in force    batch 16, delay 0 µs, 2 instances" in words
    assert "~61.2" in words
    assert "missed" in words
    assert "change batch 16, delay 0 µs, 2 instances  Saturated" in words
    assert "3 replicas would meet them" in words
    assert "Applied" in words


def test_the_display_shows_a_change_under_way_and_a_silent_server():
    assert "changing (Reload) to batch 16" in shown(EVENTS[:6])
    assert "silent for 4 s: no answer" in shown(EVENTS[:3])


def test_a_refused_change_is_shown_with_its_reason():
    refused = ChangeEnded(OLD, NEW, "Reload", "Saturated", "Refused", "no memory", OLD, 0.5)
    words = shown([Began(OLD), refused])

    assert "Refused" in words
    assert "no memory" in words
    assert "in force    batch 8" in words


def test_only_the_last_windows_are_shown():
    observed = [Observed(i, OLD, WINDOW, judge(OBJECTIVES, WINDOW)) for i in range(30)]

    assert shown(observed).count("missed") == tune_view.SHOWN_WINDOWS


# Together


SCENE = Scene(
    Target("gpu-7", 8001, "m", "http://gpu-7:8002/metrics", "", "key"),
    SessionSettings(OBJECTIVES, BatchingSpec()),
    Survey("2.51.0", "max_batch_size: 8", "", "", ("no metrics page",)),
    ("stays: preferred_batch_size 4",),
)


def tell(how, journal, events=EVENTS):
    with ExitStack() as closing:
        for listener in tune_output.open_all(SCENE, how, journal, closing):
            for entry in entries(events):
                listener(entry)


def test_lines_begin_with_what_is_tuned_and_what_is_not_seen(capsys):
    tell("lines", None)
    first, note, kept, *rest = capsys.readouterr().out.splitlines()

    algorithm = BatchingSpec().algorithm
    assert first == (
        f"tuning m on gpu-7:8001 (Triton 2.51.0), {algorithm}: p99 within 50 ms and at least 200 "
        "inferences/s"
    )
    assert note == "note: no metrics page"
    assert kept == "note: stays: preferred_batch_size 4"
    assert len(rest) == len(EVENTS) - 1


def test_json_and_the_journal_say_the_same(capsys, tmp_path):
    file = tmp_path / "journal.jsonl"
    tell("json", file)
    printed, written = capsys.readouterr().out, file.read_text()
    (head, *rest) = map(json.loads, written.splitlines())

    assert len(printed.splitlines()) == len(written.splitlines()) == len(EVENTS)
    assert rest == [json.loads(line) for line in printed.splitlines()[1:]]
    assert (head["event"], head["url"], head["model"]) == ("session", "gpu-7:8001", "m")
    assert head["notObserved"] == ["no metrics page"]
    assert head["kept"] == ["stays: preferred_batch_size 4"]


def test_a_second_session_is_appended_to_the_journal(tmp_path):
    file = tmp_path / "journal.jsonl"
    tell("lines", file)
    tell("lines", file)

    heads = [line for line in file.read_text().splitlines() if '"session"' in line]
    assert len(heads) == 2


def test_the_live_display_is_drawn_for_every_event(capsys):
    tell("live", None)

    assert "tuning m on gpu-7:8001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"requests": 0}, "no traffic", id="nobody asks for anything"),
        pytest.param(
            {"requests": 0, "pending": 7}, "nothing answered yet", id="requests wait for a batch"
        ),
        pytest.param(
            {"failures": 3, "rejected": None}, "3 failed or rejected", id="not told apart"
        ),
    ],
)
def test_what_is_unknown_is_not_called_something_else(fields, words):
    seen = factories.window(**fields)
    event = Observed(1, OLD, seen, judge(OBJECTIVES, seen))

    assert words in tune_lines.line(entries([event])[0])
    assert tune_journal.as_json(entries([event])[0])["rejected"] == fields.get("rejected", 0)
    assert words.split()[0] in shown([event])
