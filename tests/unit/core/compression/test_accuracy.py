"""How near a variant's answers are to the original's."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ferryman.core.compression.accuracy import Metric, accuracy, classes, written

SCORES = np.array([[1.0, 5.0, 2.0], [9.0, 1.0, 1.0], [0.0, 0.0, 3.0], [4.0, 1.0, 0.0]])
CLASSES = np.array([1, 0, 2, 0])


def of(metric, original, variant, labels=None):
    return accuracy(metric, {"y": np.asarray(original)}, {"y": np.asarray(variant)}, labels)


def test_labels_count_rows_whatever_the_original_answers():
    assert of(Metric.LABELS, SCORES[::-1], SCORES, np.array([1, 0, 2, 1])) == 0.75


def test_top1_counts_rows_that_the_original_answers_alike():
    changed = SCORES.copy()
    changed[0] = 7.0, 5.0, 2.0
    assert of(Metric.TOP1, SCORES, changed) == 0.75


def test_classes_may_be_answered_as_they_are():
    assert of(Metric.TOP1, CLASSES, CLASSES) == 1
    assert classes(CLASSES[:, np.newaxis]).tolist() == CLASSES.tolist()


def test_a_row_that_is_no_number_is_wrong_even_where_the_original_is_as_wrong():
    broken = SCORES.copy()
    broken[2, 1] = np.nan
    assert of(Metric.TOP1, broken, broken) == 0.75
    assert of(Metric.COSINE, SCORES, broken) == 0.75
    assert of(Metric.ERROR, SCORES, broken) == 0.0


@pytest.mark.parametrize(
    ("output", "metric"),
    [
        pytest.param([[0.5], [0.1]], Metric.TOP1, id="one number is no list of scores"),
        pytest.param(["a", "b"], Metric.TOP1, id="texts are no scores"),
        pytest.param(["a", "b"], Metric.COSINE, id="texts have no angle"),
    ],
)
def test_a_metric_that_does_not_suit_names_the_output(output, metric):
    with pytest.raises(ValueError, match="y: it holds n"):
        of(metric, output, output)


def test_each_answer_needs_a_label():
    with pytest.raises(ValueError, match="3 labels for 4 answers"):
        of(Metric.LABELS, SCORES, SCORES, np.array([1, 0, 2]))


def test_outputs_of_other_shapes_are_not_compared():
    with pytest.raises(ValueError, match=r"^y: shape \(4, 2\) where the original has \(4, 3\)"):
        of(Metric.COSINE, SCORES, SCORES[:, :2])


def test_the_worst_output_counts():
    original = {"good": SCORES, "bad": SCORES}
    assert accuracy(Metric.COSINE, original, {"good": SCORES, "bad": -SCORES}) == 0.0


@pytest.mark.parametrize(
    ("variant", "cosine", "error"),
    [
        pytest.param([[3.0, 4.0], [0.0, 0.0]], 1.0, 1.0, id="the same"),
        pytest.param([[6.0, 8.0], [0.0, 0.0]], 1.0, 0.0, id="twice as long"),
        pytest.param([[4.0, -3.0], [0.0, 0.0]], 0.5, 0.0, id="at a right angle"),
        pytest.param([[3.0, 4.0], [0.0, 1.0]], 0.5, 0.8, id="something where there was nothing"),
        pytest.param([[3.0, 3.0], [0.0, 0.0]], 0.5 + 0.5 * 21 / (5 * 18**0.5), 0.8, id="near"),
    ],
)
def test_values(variant, cosine, error):
    original = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert of(Metric.COSINE, original, variant) == pytest.approx(cosine)
    assert of(Metric.ERROR, original, variant) == pytest.approx(error)


def test_an_original_of_zeros_is_met_by_zeros_alone():
    assert of(Metric.ERROR, np.zeros((2, 2)), np.zeros((2, 2))) == 1.0
    assert of(Metric.ERROR, np.zeros((2, 2)), np.ones((2, 2))) == 0.0


VALUES = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.integers(2, 4)), elements=st.floats(-9, 9, width=32)
)


@given(VALUES, st.integers(0, 2**31), st.sampled_from(list(Metric)))
def test_it_is_a_share_and_one_for_the_same_answers(original, seed, metric):
    noise = np.random.default_rng(seed).standard_normal(original.shape, np.float32)
    labels = original.argmax(axis=1) if metric is Metric.LABELS else None
    assert of(metric, original, original, labels) == pytest.approx(1.0)
    assert 0.0 <= of(metric, original, original + noise, labels) <= 1.0


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "1.0000"), (0.99999, "0.9999"), (0.95, "0.9500"), (1e-9, "0.0000"), (0.0, "0.0000")],
)
def test_what_is_written_promises_no_more_than_was_measured(share, text):
    assert written(share) == text
    assert Decimal(text) <= Decimal(share) or share == float(text)
