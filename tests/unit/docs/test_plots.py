"""The pictures of the concepts show the results that are committed."""

import pytest

from benchmarks import concepts

PLOTS = concepts.plots()


@pytest.mark.parametrize("name", PLOTS)
def test_a_picture_is_as_its_results_draw_it(name):
    committed = (concepts.PLOTS / f"{name}.svg").read_text(encoding="utf-8")

    assert committed == PLOTS[name], "run `make docs-plots` and commit the result"


def test_no_picture_is_left_that_nothing_draws():
    assert {path.stem for path in concepts.PLOTS.glob("*.svg")} == PLOTS.keys()
