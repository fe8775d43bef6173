import pytest
from pydantic import ValidationError

from ferryman.core.tuners.learned.service_time import HALF_BELIEVED, ServiceTimePoint
from ferryman.core.tuners.profile import Profile, tuner_state


def curve(*points, instances=1):
    listed = [{"batchSize": size, "milliseconds": ms} for size, ms in points]
    return {"instances": instances, "points": listed}


def test_a_tuner_begins_with_the_times_of_each_number_of_instances():
    given = {"curves": [curve((1, 5), (8, 12)), curve((8, 20), instances=2)]}
    service = tuner_state(Profile.model_validate(given)).learned.service
    assert service.points == {
        1: {1: ServiceTimePoint(HALF_BELIEVED, 5), 8: ServiceTimePoint(HALF_BELIEVED, 12)},
        2: {8: ServiceTimePoint(HALF_BELIEVED, 20)},
    }
    assert service.curve_ms(1, 8)[7] == pytest.approx(12, rel=0.01)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"curves": []}, "curves", id="no curve"),
        pytest.param({"curves": [curve()]}, "points", id="no point"),
        pytest.param({"curves": [curve((8, 5), (1, 5))]}, "must ascend", id="not in order"),
        pytest.param({"curves": [curve((1, 0))]}, "greater than 0", id="no time at all"),
        pytest.param({"curves": [curve((1, 5)), curve((1, 6))]}, "differ", id="one count twice"),
    ],
)
def test_what_is_no_profile_is_refused(given, words):
    with pytest.raises(ValidationError, match=words):
        Profile.model_validate(given, extra="forbid")
