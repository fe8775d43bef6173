import pytest

from ferryman.core.tuners.learned.drift import ALARM, MEMORY, DriftDetector


def after(*errors):
    drift = DriftDetector()
    for error in errors:
        drift = drift.with_error(error)
    return drift


@pytest.mark.parametrize("error", [0.4, -0.4])
def test_a_jump_of_half_is_an_alarm_at_once(error):
    assert after(0.0, 0.01, error).jumped


def test_smaller_deviations_add_up():
    assert not after(0.12).alarm
    assert after(*[0.12] * 3).jumped


def test_noise_within_the_slack_is_never_an_alarm():
    assert not after(*[0.04, -0.04] * 50).alarm


def test_a_deviation_that_ends_is_forgotten():
    drift = after(0.15, *[-0.05] * 3)
    assert drift.up == 0


def test_a_steady_creep_is_an_alarm_before_it_is_a_jump():
    drift = after(*[0.005 * step for step in range(1, 10)])
    assert not drift.jumped
    assert drift.creeps


def test_a_significant_trend_that_leads_nowhere_is_none():
    assert not after(*[0.0005 * step for step in range(1, 10)]).creeps


def test_few_windows_make_no_trend():
    assert not after(0.01, 0.02, 0.03, 0.04).creeps


def test_only_the_latest_deviations_are_kept():
    assert len(after(*[0.0] * 50).recent) == MEMORY


def test_the_alarm_is_just_beyond_its_threshold():
    assert not DriftDetector(up=ALARM).jumped
    assert DriftDetector(up=ALARM + 1e-9).jumped
