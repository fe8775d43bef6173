"""What of kopf's own words reaches the operator's log."""

import logging

import pytest

from ferryman import json_log
from ferryman.handlers import logs


def configured(monkeypatch, level):
    """Return the filter that is put before the log, and the level of kopf's words."""
    put = []
    monkeypatch.setattr(json_log, "configure", lambda level, kept: put.append((level, kept)))
    kopf = logging.getLogger("kopf")
    monkeypatch.setattr(kopf, "level", logging.WARNING)
    logs.configure(level)
    [(told, kept)] = put
    assert told == level
    return kept, kopf.level


@pytest.mark.parametrize(
    ("name", "words", "is_kept"),
    [
        pytest.param("kopf.reactor", "Root task has failed: x", False, id="kopf's own end"),
        pytest.param("kopf.reactor", "Listing is slow", True, id="kopf's other words"),
        pytest.param("ferryman.handlers", "the Job has failed", True, id="our own"),
    ],
)
def test_what_is_logged(monkeypatch, name, words, is_kept):
    kept, _ = configured(monkeypatch, "info")
    record = logging.LogRecord(name, logging.ERROR, "", 0, words, (), None)
    assert kept.filter(record) is is_kept


@pytest.mark.parametrize(("level", "kopfs"), [("info", logging.WARNING), ("debug", logging.INFO)])
def test_kopfs_information_is_logged_only_at_level_debug(monkeypatch, level, kopfs):
    assert configured(monkeypatch, level)[1] == kopfs
