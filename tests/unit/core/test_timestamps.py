from datetime import UTC, datetime, timedelta, timezone

import pytest

from ferryman.core import timestamps
from tests.factories import NOW


def test_text_is_utc_with_whole_seconds():
    moment = datetime(2026, 11, 21, 15, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert timestamps.text(moment) == "2026-11-21T13:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2026-11-21T13:00:00Z", id="in UTC"),
        pytest.param("2026-11-21T15:00:00+02:00", id="in another zone"),
        pytest.param("2026-11-21T13:00:00", id="without a zone: UTC"),
    ],
)
def test_parse(text):
    assert timestamps.parse(text) == NOW
    assert timestamps.parse(text).tzinfo is not None


def test_what_is_no_time_is_an_error():
    with pytest.raises(ValueError, match="soon"):
        timestamps.parse("soon")


@pytest.mark.parametrize("year", [2, 999, 2026, 9998])
def test_parse_reads_what_text_wrote(year):
    moment = datetime(year, 2, 28, 23, 59, 59, tzinfo=UTC)
    assert timestamps.parse(timestamps.text(moment)) == moment
