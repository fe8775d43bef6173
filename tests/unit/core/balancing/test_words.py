import pytest

from ferryman.core.balancing.words import rounded


@pytest.mark.parametrize(
    ("number", "words"),
    [(0.0, "0"), (0.1234, "0.12"), (3.45, "3.5"), (9.96, "10"), (26.7, "27"), (193.4, "190")],
)
def test_two_figures_say_enough(number, words):
    assert rounded(number) == words
