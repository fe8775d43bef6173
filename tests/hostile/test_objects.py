"""Objects that are too deep or too large, also from before anything bounded them."""

import pytest

from tests.hostile.tenants import model, nested, peak_mib, unread
from tests.integration.operator_process import wait_for

pytestmark = pytest.mark.integration

#: The operator's memory limit in the chart.
LIMIT_MIB = 512


@pytest.mark.parametrize("levels", [600, 1200, 9000], ids=lambda levels: f"{levels} levels")
@pytest.mark.parametrize("before", [True, False], ids=["before it starts", "while it runs"])
def test_an_object_that_is_too_deep_is_skipped_and_named(
    levels, before, without_bounds, tenants, new_operator, reconciled
):
    if before:
        tenants.create(model("poisoned", tenants.hostile, nested(levels)))
    operator = new_operator().start()
    if not before:
        tenants.create(model("poisoned", tenants.hostile, nested(levels)))
    reconciled()
    assert operator.get("/readyz")[0] == 200
    said = [line for line in operator.lines() if "too large to be read" in line.get("message", "")]
    assert [line["object"] for line in said] == [f"{tenants.hostile}/poisoned"]
    assert unread(operator) == 1

    def told():
        conditions = tenants.status("poisoned").get("conditions", ())
        return [c["message"] for c in conditions if c["reason"] == "InvalidSpec"]

    assert "too large to be read" in wait_for("its status says why", told)[0]
    tenants.delete("poisoned")
    wait_for("it is forgotten", lambda: unread(operator) == 0)
    operator.close()


@pytest.mark.long
def test_fifty_objects_of_1_4_mb_stay_below_the_memory_limit(
    without_bounds, tenants, new_operator, reconciled
):
    """Of what Python makes the most of: a list of two bytes takes fifty-six."""
    lists = ",".join(["[]"] * 466_000)
    for number in range(50):
        tenants.create(model(f"large-{number}", tenants.hostile, f'{{"parameters":[{lists}]}}'))
    operator = new_operator().start()
    reconciled()
    wait_for("all are told of", lambda: unread(operator) == 50, 30)
    assert peak_mib(operator) < LIMIT_MIB
    operator.close()


@pytest.mark.long
def test_hundreds_of_objects_just_within_the_bounds_stay_below_the_memory_limit(
    without_bounds, tenants, new_operator, reconciled
):
    lists = ",".join(["[]"] * 3_900)
    for number in range(200):
        tenants.create(model(f"some-{number}", tenants.hostile, f'{{"parameters":[{lists}]}}'))
    operator = new_operator().start()
    reconciled()

    def spent():
        return any("of its namespace already" in line.get("why", "") for line in operator.lines())

    wait_for("what fits into the namespace's share is read, and no more", spent, 30)
    assert peak_mib(operator) < LIMIT_MIB
    operator.close()
