"""The one decision about a pipeline, from what is seen to what is done and said."""

import pytest

from ferryman.api.conditions import Reason, find
from ferryman.api.inference_model import PlacementSpec, ResourceRequirements
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.api.pipelines.inference_pipeline import BalancingSpec, ExecutionSpec
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.api.pipelines.step import ModelRef, StepBalance
from ferryman.core.balancing.decide import balance
from ferryman.core.pipelines.assignment import written
from ferryman.core.pipelines.serving import balancer
from ferryman.core.snapshot import ServingState
from tests import factories
from tests.unit.core.pipelines import scenes
from tests.unit.core.pipelines.scenes import (
    PLACED,
    STEPS,
    TENSORS,
    batching,
    loaded,
    made_for,
    pipeline,
    planned,
    served,
    serving_snapshot,
    snapshot,
    steps,
    was_applied,
    window,
)


def said(plan, kind="Ready"):
    condition = find(plan.status.conditions, kind)
    return None if condition is None else (condition.status, condition.reason, condition.message)


def objects(plan):
    return {each["kind"]: each for each in plan.objects}


def config_map(plan):
    return objects(plan)["ConfigMap"]["data"]


FIXED = pipeline(
    steps=[
        step.with_(initial=StepBalance(instances=2 if step.name == "detect" else 1))
        for step in pipeline().spec.steps
    ],
    balancing=BalancingSpec(mode="Fixed"),
)


def test_a_new_place_is_written_down_before_anything_is_applied():
    plan = planned(snapshot(factories.pipeline()))
    assert (plan.objects, plan.is_new_place, plan.requeue_after_s) == ((), True, 0.0)
    assert plan.status.placement.node_type == "cpu-small"
    assert plan.reservation.nodes == {"node-1": 1}


def test_what_is_placed_is_rendered_with_one_model_for_each_step():
    plan = planned()
    assert list(objects(plan))[:2] == ["Secret", "ConfigMap"], "what pods need to start"
    assert list(objects(plan))[-1] == "Deployment"
    assert config_map(plan).keys() == {"prepare.pbtxt", "detect.pbtxt", "read.pbtxt", "chain.pbtxt"}
    assert plan.status.url == "http://chain-pipeline.default.svc:8000/v2/models/chain"
    assert plan.status.selector == "serving.ferryman.dev/pipeline=chain"
    assert (plan.status.target, plan.status.workers) == ("≥ 20/s", "prepare=1 detect=1 read=1")
    execution = plan.status.execution
    assert (execution.mode, execution.reason) == ("Ensemble", "OneServerFits")
    assert execution.message == "one server on cpu-small (cpu) holds all steps"


def test_a_pipeline_that_is_deleted_is_left_alone():
    subject = pipeline()
    gone = subject.with_(metadata=subject.metadata.with_(deletion_timestamp=factories.at()))
    plan = planned(snapshot(gone))
    assert (plan.objects, plan.status) == ((), gone.status)


STATED = {
    "input": [{"name": "input", "data_type": "TYPE_FP32", "dims": [1]}],
    "output": [{"name": "output", "data_type": "TYPE_FP32", "dims": [1]}],
}


def test_an_ensemble_of_which_all_is_stated_is_known_at_once():
    subject = pipeline(
        steps=[step.with_(model=step.model.with_(config=STATED)) for step in pipeline().spec.steps]
    )
    assert "'platform': 'ensemble'" in config_map(planned(snapshot(subject)))["chain.pbtxt"]


def test_an_ensemble_is_known_once_its_steps_are_loaded_and_is_loaded_then():
    found = made_for()
    waiting = served(config_hash=found, there=False, ready=False)
    assert planned(snapshot(serving=waiting)).ensemble is None
    plan = planned(snapshot(was_applied(), serving=waiting, steps=steps(found)))
    assert [pod.name for pod in plan.ensemble.pods] == ["pod-0"]
    assert plan.ensemble.config_pbtxt == config_map(plan)["chain.pbtxt"]
    assert plan.requeue_after_s == 5.0
    assert said(plan)[:2] == ("False", "ModelLoading")


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param({"steps": steps("other")}, id="pods of before are no measure"),
        pytest.param(
            {"steps": {**steps(made_for()), "read": loaded("read", 0)}}, id="a step lacks"
        ),
    ],
)
def test_an_ensemble_is_not_loaded_where_its_steps_are_not(seen):
    waiting = served(config_hash=made_for(), there=False, ready=False)
    assert planned(snapshot(serving=waiting, **seen)).ensemble is None


def test_an_ensemble_that_triton_refused_is_not_loaded_again_at_once_and_its_words_are_told():
    found = made_for()
    waiting = served(config_hash=found, there=False, ready=False)
    seen = snapshot(was_applied(), serving=waiting, steps=steps(found))
    refused = seen.with_(
        ensemble_refusal="no such tensor",
        refused_ensemble=planned(seen).ensemble.config_pbtxt,
    )
    plan = planned(refused)
    assert plan.ensemble is None
    assert "no such tensor" in said(plan)[2]
    assert plan.requeue_after_s == 30.0
    another = planned(refused.with_(refused_ensemble="another"))
    assert another.ensemble is not None
    assert said(another)[1] == "ModelLoading"


def test_an_ensemble_of_which_nothing_was_heard_is_not_loaded_again():
    found = made_for()
    quiet = served(config_hash=found, there=False).with_(model_ready=None)
    assert planned(serving_snapshot(serving=quiet)).ensemble is None


def test_a_step_that_does_not_load_is_named_with_its_words():
    found = made_for()
    broken = {**steps(found), "read": loaded("read", 0, ready=False, message="no such file")}
    waiting = served(config_hash=found, there=False, ready=False)
    plan = planned(snapshot(was_applied(), serving=waiting, steps=broken))
    assert said(plan)[:2] == ("False", "ModelLoadFailed")
    assert "step read: no such file" in said(plan)[2]
    loading = {**steps(found), "read": loaded("read", 0, ready=False, message="LOADING")}
    again = planned(snapshot(was_applied(), serving=waiting, steps=loading))
    assert said(again)[1] == "ModelLoading"


def test_a_pipeline_that_serves_is_ready():
    plan = planned(serving_snapshot())
    assert said(plan)[:2] == ("False", "Applying"), "nothing said yet that it was applied"
    again = planned(serving_snapshot(was_applied()))
    assert said(again) == ("True", "Serving", "1 replica serves on cpu-small (cpu)")
    assert again.requeue_after_s is None
    assert [each.ready for each in again.status.steps] == [True, True, True]
    assert [event.reason for event in again.events] == ["Serving"]


def rejected(subject, **fields):
    plan = planned(snapshot(subject, **fields))
    assert plan.objects == ()
    return plan, said(plan)


def test_faults_of_the_graph_are_told_and_nothing_is_applied():
    subject = pipeline(
        steps=[
            factories.pipeline_step("prepare", "imag"),
            factories.pipeline_step("read", "prepar.output"),
        ]
    )
    plan, (status, reason, message) = rejected(subject)
    assert (status, reason) == ("False", "UnknownInput")
    assert "(and 1 more, in status.faults)" in message
    assert [(each.step, each.reason) for each in plan.status.faults] == [
        ("prepare", "UnknownInput"),
        ("read", "UnknownStep"),
    ]
    assert plan.status.placement == PLACED, "what serves stays where it is"


def test_faults_of_a_pipeline_that_is_nowhere_are_why_it_is_nowhere():
    subject = factories.pipeline(steps=[factories.pipeline_step("read", "imag")])
    plan, _ = rejected(subject)
    assert (plan.status.placement.node_type, plan.status.placement.reason) == (None, "UnknownInput")
    assert said(plan, "Placed")[:2] == ("False", "UnknownInput")


def test_what_steps_turn_out_to_be_when_they_are_loaded_may_be_a_fault():
    found = made_for()
    other = {**TENSORS, "output": [{"name": "boxes", "data_type": "TYPE_FP32", "dims": ["1"]}]}
    seen = {**steps(found), "detect": loaded("detect", 1, configs={found: other})}
    waiting = served(config_hash=found, there=False, ready=False)
    plan = planned(snapshot(serving=waiting, steps=seen))
    assert (plan.objects, plan.ensemble) == ((), None)
    [fault] = plan.status.faults
    assert (fault.reason, fault.step, fault.tensor) == ("UnknownTensor", "read", "input")


def test_outputs_that_stay_unknown_are_a_fault_once_the_steps_are_loaded():
    found = made_for()
    silent = {"max_batch_size": 64}
    seen = {step: loaded(step, 1, configs={found: silent}) for step in STEPS}
    plan = planned(snapshot(serving=served(config_hash=found, there=False), steps=seen))
    assert said(plan)[1] == "TypeUnknown"


def test_without_a_runtime_nothing_is_applied():
    assert rejected(pipeline(), runtime=None)[1][1] == "RuntimeNotFound"


def test_a_step_whose_model_is_not_there_is_told():
    step = factories.pipeline_step("read", "image", model=None, model_ref=ModelRef(name="m"))
    assert rejected(pipeline(steps=[step]))[1][1] == "ModelNotFound"


def test_a_step_of_a_model_that_is_there_is_served():
    step = factories.pipeline_step("read", "image", model=None, model_ref=ModelRef(name="m"))
    model = factories.model("m", model=factories.source("oci://registry.example/m:1", "python"))
    plan = planned(snapshot(pipeline(steps=[step]), models={"m": model}))
    assert "registry.example/m:1" in repr(objects(plan)["Deployment"])


def test_several_servers_are_refused_with_what_to_do():
    spec = ExecutionSpec(mode="Distributed")
    assert "set execution.mode to Auto" in rejected(pipeline(execution=spec))[1][2]


def test_formats_that_no_class_serves_together_are_told():
    runtime = factories.runtime(processors=[factories.runtime_processor()])
    assert rejected(pipeline(), runtime=runtime)[1][1] == "FormatNotSupported"


def test_without_a_place_nothing_is_applied_and_it_is_told():
    subject = factories.pipeline(placement=PlacementSpec(node_selector={"zone": "moon"}))
    assert rejected(subject)[1][1] == "NodeSelectorNotMet"


def test_a_class_that_the_runtime_lost_is_waited_out():
    lost = PLACED.with_(processor="npu")
    subject = pipeline(status=InferencePipelineStatus(placement=lost))
    plan = planned(snapshot(subject, placement_is_valid=True, nodes=()))
    assert plan.objects == ()


def test_a_configuration_that_does_not_fit_is_told_with_its_step():
    def refuse(config):
        raise ValueError(f"no field of {config['name']}")

    plan = planned(encode=refuse)
    assert said(plan)[1:] == (
        "InvalidConfig",
        "model.config of step detect: no field of detect",
    )


def test_a_change_brings_the_whole_configuration_of_each_step():
    plan = planned(serving_snapshot(FIXED))
    [move] = plan.change.moves
    assert (move.step, move.before.instances, move.after.instances) == ("detect", 1, 2)
    assert "'count': 2" in move.configs["pod-0"]
    assert "'count': 1" in move.restoring["pod-0"]
    assert move.cap_annotation == "serving.ferryman.dev/max-batch-size.detect"
    assert plan.reason == plan.change.reason
    assert plan.change.ensemble_pbtxt == config_map(plan)["chain.pbtxt"]
    assert plan.requeue_after_s == 0.0


def test_pods_of_before_are_not_changed():
    old = serving_snapshot(FIXED, steps=steps("before"))
    assert planned(old).change is None


def test_nothing_is_changed_before_the_api_server_takes_the_objects():
    plan = planned(serving_snapshot(FIXED))
    refused = FIXED.with_(
        status=plan.status.with_(
            conditions=tuple(
                each.with_(reason=str(Reason.APPLY_REFUSED)) if each.type == "Ready" else each
                for each in plan.status.conditions
            )
        )
    )
    assert planned(serving_snapshot(refused)).change is None


def test_a_window_is_judged_and_shown_step_by_step():
    plan = planned(serving_snapshot(), window=window(1000, detect=9.0))
    assert said(plan, "ObjectivesMet")[0] == "True"
    detect = plan.status.steps[1]
    assert (detect.service_time_milliseconds, detect.rows_per_request) == (9.0, 1.0)
    assert detect.busy == pytest.approx(0.9)
    assert detect.instances.desired == detect.instances.observed == 1
    assert plan.status.limiting_step == "detect"
    assert plan.status.balancing.next_worker.step == "detect"
    assert plan.status.observed.requests_per_second == 100.0


def test_the_balancer_is_asked_with_what_binds_it(monkeypatch):
    asked = []

    def remember(rules, *arguments):
        asked.append(rules)
        return balance(rules, *arguments)

    monkeypatch.setattr(balancer, "balance", remember)
    bound = ResourceRequirements(limits={"cpu": "1500m"})
    planned(serving_snapshot(pipeline(resources=bound)), window=window())
    planned(serving_snapshot(pipeline(resources=ResourceRequirements())), window=window())
    planned(
        serving_snapshot(pipeline(resources=ResourceRequirements(limits={"cpu": "many"}))),
        window=window(),
    )
    assert [rules.resources.processors for rules in asked] == [1.5, None, None]
    [setup, *_] = asked[0].steps
    assert (setup.name, setup.live_cap, setup.limits.max_batch_size.min) == ("prepare", False, 64)
    assert [each.after for each in asked[0].steps] == [(), ("prepare",), ("detect",)]


def test_a_bound_may_move_where_every_pod_has_a_live_cap(monkeypatch):
    asked = []
    monkeypatch.setattr(
        balancer, "balance", lambda rules, *a: (asked.append(rules), balance(rules, *a))[1]
    )
    cap = RuntimeLiveCap(library="/lib.so")
    entry = factories.runtime_processor(backends={"python": "python"}, live_cap=cap)
    runtime = factories.runtime(processors=[entry])
    subject = pipeline()
    with_cap = planned(snapshot(subject, runtime=runtime)).objects[-1]
    found = with_cap["spec"]["template"]["metadata"]["annotations"][
        "serving.ferryman.dev/config-hash"
    ]
    capped = factories.capped_pod(64, name="pod-0").with_(config_hash=found)
    seen = {
        step: each.with_(pods=(capped,) if step == "detect" else each.pods)
        for step, each in steps(found).items()
    }
    planned(
        snapshot(subject, runtime=runtime, serving=served(config_hash=found), steps=seen),
        window=window(),
    )
    assert [(each.name, each.live_cap) for each in asked[0].steps] == [
        ("prepare", False),
        ("detect", True),
        ("read", False),
    ]


@pytest.mark.parametrize(
    "serving",
    [
        pytest.param(served(config_hash="other"), id="a pod of before"),
        pytest.param(served(config_hash=made_for(), ready=False), id="a pod that is not ready"),
        pytest.param(served(config_hash=made_for(), there=False), id="an ensemble that is gone"),
        pytest.param(ServingState(model_ready=True), id="too few pods"),
    ],
)
def test_windows_of_what_is_not_settled_are_not_balanced_by(serving, monkeypatch):
    monkeypatch.setattr(balancer, "balance", None)
    planned(serving_snapshot(serving=serving), window=window())


def test_a_change_that_an_earlier_operator_began_is_told():
    begun = scenes.balancing(
        changes=(
            {
                "time": factories.at(-5),
                "before": written({"detect": batching(1)}),
                "after": written({"detect": batching(2)}),
                "reason": "LimitingStep",
                "message": "why",
                "outcome": "InProgress",
            },
        )
    )
    subject = pipeline(status=InferencePipelineStatus(placement=PLACED, balancing=begun))
    done = planned(serving_snapshot(subject, instances={"detect": 2}))
    assert done.status.balancing.changes[0].outcome == "Applied"
    assert ("Normal", "LimitingStep") in [(each.type, each.reason) for each in done.events]
    assert done.status.workers == "prepare=1 detect=2 read=1"
    undone = planned(serving_snapshot(subject))
    assert ("Warning", "LimitingStep") in [(each.type, each.reason) for each in undone.events]
    assert undone.requeue_after_s in {5.0, 30.0}
    silent = {step: loaded(step, 0, config_hash=made_for()) for step in STEPS}
    waits = planned(serving_snapshot(subject, steps=silent))
    assert waits.status.balancing.changes[0].outcome == "InProgress"
    assert waits.requeue_after_s == 5.0


def test_pods_that_are_ready_and_do_not_answer_are_asked_again():
    found = made_for()
    quiet = served(config_hash=found).with_(model_ready=None)
    status = InferencePipelineStatus(placement=PLACED, balancing=scenes.balancing())
    told = planned(serving_snapshot(pipeline(status=status), serving=quiet)).status
    settled = tuple(
        each.with_(reason="Deploying") if each.type == "Ready" else each for each in told.conditions
    )
    again = pipeline(status=told.with_(conditions=settled))
    plan = planned(serving_snapshot(again, serving=quiet))
    assert said(plan, "ModelLoaded")[1] == "TritonUnreachable"
    assert plan.requeue_after_s == 30.0


def test_nodes_are_not_compared_again_while_the_placement_stands():
    plan = planned(snapshot(pipeline(), placement_is_valid=True, nodes=()))
    assert (plan.reservation, plan.status.placement) == (None, PLACED)
    assert plan.objects


def test_a_decision_can_be_repeated_from_what_was_seen():
    seen = serving_snapshot(FIXED)
    again = type(seen).model_validate_json(seen.model_dump_json(by_alias=True))
    assert planned(again).status == planned(seen).status
    assert planned(again).objects == planned(seen).objects
