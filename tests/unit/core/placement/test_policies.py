import ast
from pathlib import Path
from typing import get_args

import pytest

import ferryman
from ferryman.api import rules
from ferryman.api.inference_model import PlacementSpec, Policy, RebalanceSpec
from ferryman.core.placement import policies
from ferryman.core.placement.policies import MEASURES, POLICIES

SOURCES = Path(ferryman.__file__).parent


def test_every_policy_of_the_api_is_in_the_table():
    assert tuple(POLICIES) == get_args(Policy)


def test_the_api_server_lets_those_rebalance_that_can():
    able = tuple(name for name, policy in POLICIES.items() if policy.may_rebalance)
    assert able == rules.REBALANCING == tuple(MEASURES)


def test_only_the_price_needs_prices():
    assert [name for name, policy in POLICIES.items() if policy.needs_prices] == ["Cheapest"]


@pytest.mark.parametrize(
    ("policy", "mode", "moves"),
    [
        pytest.param("LeastWorkload", "Auto", False, id="the policy has no cost"),
        pytest.param("BestFit", "Never", False, id="the model did not ask for it"),
        pytest.param("BestFit", "Auto", True, id="the share is a cost"),
        pytest.param("Cheapest", "Auto", True, id="the price is a cost"),
    ],
)
def test_a_model_may_be_moved_where_it_asked_for_it_and_its_policy_has_a_cost(policy, mode, moves):
    placement = PlacementSpec(policy=policy, rebalance=RebalanceSpec(mode=mode))
    assert policies.may_move(placement) == moves


def test_nothing_asks_for_the_name_of_a_policy():
    """A new policy is an entry of the table: what else compared names would pass it over."""
    asking = [
        f"{path.relative_to(SOURCES)}:{node.lineno}"
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        for side in ast.walk(node)
        if isinstance(side, ast.Constant) and side.value in POLICIES
    ]
    assert asking == []
