"""What the fetching container says, and what is believed of it."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.core.fetching.report import (
    MAX_REPORT_BYTES,
    REMEDIES,
    Fetched,
    FetchReport,
    Problem,
    encode_report,
    explained,
    read_report,
)
from ferryman.core.vocabulary.reasons import EXPLANATIONS

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    "report",
    [
        FetchReport((Fetched("/model", DIGEST, "c0ffee"), Fetched("/model/b", DIGEST))),
        FetchReport(problem=Problem.MISMATCH, detail="another"),
    ],
    ids=["fetched", "a problem"],
)
def test_what_is_said_is_read(report):
    assert read_report(encode_report(report)) == report


def test_words_are_printable_and_few_enough_for_kubernetes():
    said = encode_report(FetchReport(problem=Problem.UNSAFE, detail="\x1b[2J" + "x" * 10_000))
    assert len(said.encode()) < MAX_REPORT_BYTES
    report = read_report(said)
    assert report is not None
    assert report.detail.startswith("\\u001b[2J")
    assert report.detail.endswith("…")


def test_a_pipelines_steps_fit():
    slots = (Fetched(f"/model/{'x' * 30}{n}", DIGEST) for n in range(32))
    assert len(encode_report(FetchReport(tuple(slots)))) < MAX_REPORT_BYTES * 1.2


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("", id="nothing"),
        pytest.param("Traceback (most recent call last)", id="a log"),
        pytest.param("[" * 4000, id="deep"),
        pytest.param('{"problem": "Sabotage"}', id="an unknown word"),
        pytest.param('{"fetched": [{"into": "/model", "digest": "sha256:x"}]}', id="no digest"),
        pytest.param(
            f'{{"fetched": [{{"into": "/model", "digest": "{DIGEST}", "revision": "\\n"}}]}}',
            id="no revision",
        ),
        pytest.param(f'{{"detail": "{"x" * 501}"}}', id="too many words"),
        pytest.param(f'{{"detail": "x"}}{" " * 5000}', id="longer than Kubernetes keeps"),
    ],
)
def test_what_is_no_report_is_not_believed(message):
    assert read_report(message) is None


@pytest.mark.parametrize("problem", Problem)
def test_every_problem_has_a_reason_and_a_remedy(problem):
    reason, words = explained(problem, "it broke\x1b")
    assert reason in EXPLANATIONS
    assert words.startswith("it broke\\u001b: ")
    assert len(words) > len("it broke\\u001b: ") + 10
    assert set(REMEDIES) == set(Problem)


def test_a_wrong_checksum_is_told_from_a_wrong_credential():
    assert explained(Problem.MISMATCH, "")[0] == Reason.MODEL_SOURCE_MISMATCH
    assert explained(Problem.FORBIDDEN, "")[0] == Reason.MODEL_SOURCE_FORBIDDEN
