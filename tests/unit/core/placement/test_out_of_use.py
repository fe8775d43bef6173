import pytest

from ferryman.api.conditions import Reason
from ferryman.api.node_profile import Partition
from ferryman.core.placement.candidates import find
from ferryman.core.placement.filters import FilterContext
from ferryman.core.placement.nodes.out_of_use import why_not
from tests.factories import NOW, model, node, processor, runtime, runtime_processor

ENTRY = runtime_processor("gpu", resource_name="nvidia.com/gpu")
LOST = "GPU 3 reported XID 79 (it has fallen off the bus): drain the node and restart it"


def gpus(count=8, out=1, **fields):
    return processor("gpu", count=count, unavailable=LOST, unavailable_count=out, **fields)


def offering(amount, resource="nvidia.com/gpu"):
    return node(allocatable={"cpu": "64", "memory": "512Gi", resource: amount})


def mig(count, profile="1g.10gb"):
    return {"sharing": "mig", "partitions": (Partition(profile=profile, count=count),)}


@pytest.mark.parametrize(
    ("one", "offered"),
    [
        pytest.param(gpus(), 7, id="seven of eight are offered"),
        pytest.param(gpus(out=2), 5, id="fewer are offered than work"),
        pytest.param(gpus(out=None), 7, id="nobody counted, and one was taken back"),
        pytest.param(gpus(sharing="time-slicing", replicas=4), 28, id="shares of seven"),
        pytest.param(gpus(mig_strategy="single", **mig(56)), 49, id="instances of seven"),
        pytest.param(processor("gpu", count=8), 8, id="all work"),
    ],
)
def test_devices_that_work_serve_once_the_ill_one_is_offered_no_more(one, offered):
    assert why_not(offering(offered), one, ENTRY) is None


@pytest.mark.parametrize(
    ("one", "offered", "added"),
    [
        pytest.param(gpus(), 8, " (1 of 8, nvidia.com/gpu still offers 8)", id="all are offered"),
        pytest.param(gpus(out=2), 7, " (2 of 8, nvidia.com/gpu still offers 7)", id="one too many"),
        pytest.param(gpus(out=8), 7, "", id="all are out of use"),
        pytest.param(gpus(count=1), 0, "", id="the only one"),
        pytest.param(gpus(), 0, " (1 of 8)", id="none is offered"),
        pytest.param(gpus(out=None), 8, " (nvidia.com/gpu still offers 8)", id="nobody counted"),
        pytest.param(
            gpus(sharing="time-slicing", replicas=4),
            31,
            " (1 of 8, nvidia.com/gpu still offers 31)",
            id="shares of the ill one are offered",
        ),
        pytest.param(
            gpus(sharing="time-slicing"),
            28,
            " (1 of 8, nvidia.com/gpu still offers 28)",
            id="nobody said how many shares there are",
        ),
        pytest.param(
            gpus(**mig(56)),
            49,
            " (1 of 8, nvidia.com/gpu still offers 49)",
            id="nobody said how instances are offered",
        ),
    ],
)
def test_a_class_of_which_a_pod_could_get_an_ill_device_is_out_of_use(one, offered, added):
    assert why_not(offering(offered), one, ENTRY) == LOST + added


def test_instances_of_a_profile_have_a_resource_of_their_own():
    name = "nvidia.com/mig-1g.10gb.me"
    entry = runtime_processor("gpu", resource_name=name)
    one = gpus(count=2, mig_strategy="mixed", **mig(2, "1g.10gb+me"))
    assert why_not(offering(1, name), one, entry) is None
    assert why_not(offering(2, name), one, entry) is not None


def test_a_class_without_devices_is_out_of_use_as_a_whole():
    broken = processor("cpu", unavailable="lost")
    assert why_not(node(), broken, runtime_processor("cpu")) == "lost"


def test_a_model_is_placed_on_the_seven_that_are_left_and_not_while_eight_are_offered():
    question = FilterContext(model(), runtime(processors=[ENTRY]), NOW)
    [left] = find(question, [offered_by("7")])
    assert left.refusal is None
    [all_of_them] = find(question, [offered_by("8")])
    assert all_of_them.refusal.reason == Reason.PROCESSOR_UNAVAILABLE
    assert "still offers 8" in all_of_them.refusal.message


def offered_by(amount):
    return offering(amount).with_(profile=node(processors=[gpus()]).profile)
