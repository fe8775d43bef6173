"""What a node costs, and how the command line comes to count as the operator does."""

import pytest

from ferryman.core.placement.prices import NO_PRICES, price_per_hour, priced, published
from tests.factories import node, profile_status, snapshot

LABEL = "serving.ferryman.dev/price-per-hour"
PRICES = {"cpu-small": 2.5, "free": 0.0}


@pytest.mark.parametrize(
    ("label", "node_type", "price"),
    [
        pytest.param("1.25", "cpu-small", 1.25, id="the label comes first"),
        pytest.param("0", "cpu-small", 0.0, id="a label may say that it costs nothing"),
        pytest.param(None, "cpu-small", 2.5, id="else its type's"),
        pytest.param(None, "free", 0.0, id="a type that costs nothing"),
        pytest.param(None, "other", None, id="nobody said"),
        pytest.param("cheap", "cpu-small", 2.5, id="a label that is no price"),
        pytest.param("-1", "cpu-small", 2.5, id="a negative one"),
        pytest.param("1e3", "cpu-small", 2.5, id="one in another notation"),
        pytest.param("inf", "other", None, id="one that is not finite"),
    ],
)
def test_the_price_of_a_node(label, node_type, price):
    labels = {} if label is None else {LABEL: label}
    assert price_per_hour(labels, node_type, PRICES) == price


def test_the_operators_prices_are_read_from_the_profiles():
    profiles = [
        profile_status("small", price_per_hour=1.5),
        profile_status("free", price_per_hour=0.0),
        profile_status("unknown"),
    ]
    assert published(profiles) == {"small": 1.5, "free": 0.0}


@pytest.mark.parametrize(
    ("view", "prices", "price"),
    [
        pytest.param(node(), NO_PRICES, None, id="nobody said"),
        pytest.param(node(), PRICES, 2.5, id="as told"),
        pytest.param(node(price_per_hour=7.0), NO_PRICES, 7.0, id="as published"),
        pytest.param(node(price_per_hour=7.0), PRICES, 2.5, id="told comes before published"),
        pytest.param(node(labels={LABEL: "3"}, price_per_hour=7.0), PRICES, 3.0, id="the label"),
        pytest.param(node().with_(price_per_hour=4.0), NO_PRICES, 4.0, id="as the snapshot has it"),
        pytest.param(node().with_(price_per_hour=4.0), PRICES, 2.5, id="told comes before that"),
        pytest.param(node(has_profile=False), PRICES, None, id="no profile, no type"),
    ],
)
def test_a_snapshot_is_priced(view, prices, price):
    [found] = priced(snapshot(nodes=[view]), prices).nodes
    assert found == view.with_(price_per_hour=price)
