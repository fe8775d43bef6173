"""The models that a pipeline's server holds."""

import pytest

from ferryman.api.batching import MaxBatchSizeLimits
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.api.pipelines.inference_pipeline import BalancingSpec
from ferryman.api.pipelines.step import StepLimits
from ferryman.clients import pbtxt
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines import members as models
from ferryman.core.pipelines.server import sources_of
from ferryman.core.pipelines.snapshot import LoadedStep
from tests import factories
from tests.unit.core.pipelines.scenes import assignment, batching

CAP = RuntimeLiveCap(library="/lib.so")
LIMITS = StepLimits(max_batch_size=MaxBatchSizeLimits(min=1, max=16))


def held(*, live_cap=CAP, shape_tensors=False, config=None, **step):
    model = factories.source("oci://registry.example/x:1", "python", config=config or {})
    steps = [
        factories.pipeline_step("detect", "image", model=model, limits=LIMITS, **step),
        factories.pipeline_step("read", "detect.output"),
    ]
    subject = factories.pipeline(steps=steps)
    entry = factories.runtime_processor(live_cap=live_cap, backends={"python": "python"})
    loaded = {"detect": LoadedStep(shape_tensors=shape_tensors)}
    return subject, models.members_of(subject, sources_of(subject, {}), loaded, entry)


def served(subject, found, applied=None, ensemble=None):
    asked = applied or {"detect": batching(2, 4), "read": batching()}
    return models.served_models(subject, found, asked, ensemble)


def test_triton_is_told_the_largest_bound_and_the_live_cap_starts_below_it():
    _, found = held()
    config = found["detect"].config(batching(2, 4))
    assert (config["max_batch_size"], config["instance_group"][0]["count"]) == (16, 2)
    parameters = config["parameters"]
    assert parameters["FERRYMAN_LIVE_CAP_START"] == {"string_value": "4"}
    assert parameters["FERRYMAN_LIVE_CAP_FILE"] == {"string_value": "/live-cap/detect"}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"live_cap": None}, id="the runtime has none"),
        pytest.param({"shape_tensors": True}, id="rows cannot be counted"),
        pytest.param(
            {"config": {"parameters": {"TRITON_BATCH_STRATEGY_PATH": {"string_value": "/x"}}}},
            id="it has a strategy of its own",
        ),
    ],
)
def test_without_a_live_cap_the_largest_bound_is_the_one_and_stays(fields):
    _, found = held(**fields)
    one, other = (found["detect"].config(batching(1, bound)) for bound in (4, 16))
    assert one == other
    assert one["max_batch_size"] == 16
    assert "FERRYMAN_LIVE_CAP_START" not in repr(one)


def test_a_pod_is_given_more_instances_and_nothing_else():
    _, found = held()
    capped = factories.capped_pod(4, start=8)
    config = found["detect"].config_for(capped, 3)
    assert config["parameters"]["FERRYMAN_LIVE_CAP_START"] == {"string_value": "8"}
    assert config == found["detect"].config(batching(3, 8))
    plain = found["detect"].config_for(factories.pod(), 3)
    assert "FERRYMAN_LIVE_CAP_START" not in repr(plain)


def test_the_ensemble_is_the_last_and_has_no_files():
    subject, found = held()
    *steps, ensemble = served(subject, found, ensemble={"name": "chain"})
    assert [each.name for each in steps] == ["detect", "read"]
    assert (ensemble.name, ensemble.storage_uri) == ("chain", None)


def test_pods_do_not_roll_with_what_is_balanced_nor_when_the_ensemble_becomes_known():
    subject, found = held()

    def made_for(*arguments):
        return [each.untuned_config for each in served(subject, found, *arguments)]

    once = made_for()
    assert made_for({"detect": batching(4, 8), "read": batching(2)}, {"name": "chain"}) == once


def test_pods_roll_with_the_largest_bound_and_with_who_reads_whom():
    subject, found = held()
    once = [each.untuned_config for each in served(subject, found)]
    _, larger = held(live_cap=None)
    other = subject.spec.steps[0].with_(
        limits=StepLimits(max_batch_size=MaxBatchSizeLimits(min=1, max=32))
    )
    wider = factories.pipeline(steps=[other, subject.spec.steps[1]])
    again = models.members_of(wider, sources_of(wider, {}), {}, larger["detect"].entry)
    assert [each.untuned_config for each in served(wider, again)] != once
    rewired = factories.pipeline(
        steps=[subject.spec.steps[0], factories.pipeline_step("read", "detect.other")]
    )
    assert [each.untuned_config for each in served(rewired, found)] != once


def test_the_order_of_steps_is_of_no_consequence():
    subject = factories.pipeline()
    entry = factories.runtime_processor(backends={"python": "python"})
    turned = factories.pipeline(steps=reversed(subject.spec.steps), outputs=subject.spec.outputs)
    names = [
        [
            each.name
            for each in models.served_models(
                one,
                models.members_of(one, sources_of(one, {}), {}, entry),
                assignment(),
                None,
            )
        ]
        for one in (subject, turned)
    ]
    assert names[0] == names[1]


def policy(*, config=None, **spec):
    """Return the queue policy of the first step."""
    model = factories.source("oci://registry.example/x:1", "python", config=config or {})
    steps = [
        factories.pipeline_step("detect", "image", model=model),
        factories.pipeline_step("read", "detect.output"),
    ]
    subject = factories.pipeline(steps=steps, **{"objectives": factories.objectives(80), **spec})
    entry = factories.runtime_processor(backends={"python": "python"})
    found = models.members_of(subject, sources_of(subject, {}), {}, entry)["detect"]
    return found.config(batching())["dynamic_batching"].get("default_queue_policy")


OWN = {"default_timeout_microseconds": 5}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            {},
            {"timeout_action": "REJECT", "default_timeout_microseconds": 80_000},
            id="what has waited as long as the whole may take is rejected",
        ),
        pytest.param({"objectives": factories.objectives(None, 20)}, None, id="without a target"),
        pytest.param({"balancing": BalancingSpec(on_overload="Queue")}, None, id="Queue"),
        pytest.param(
            {"config": {"dynamic_batching": {"default_queue_policy": OWN}}},
            OWN,
            id="the owner's own policy stays",
        ),
    ],
)
def test_what_becomes_of_requests_that_wait(fields, expected):
    assert policy(**fields) == expected


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param(
            {"max_batch_size": "eight"},
            "model.config of step detect: max_batch_size must be a whole number",
            id="a bound that is none",
        ),
        pytest.param(
            {"name": "x"},
            "model.config of step detect: remove name",
            id="a name of its own",
        ),
        pytest.param(
            {"parameters": {"a": {"string_value": "file:x"}}},
            "model.config of step detect: config.parameters.a.string_value starts with file:",
            id="a file in place of the model's",
        ),
        pytest.param(
            {"model_warmup": [{"batch_size": 100_000}]},
            "model.config of step detect: batch_size must not exceed",
            id="a warm-up beyond all bounds",
        ),
    ],
)
def test_what_is_wrong_with_a_steps_configuration_names_the_step(config, words):
    with pytest.raises(RejectedError) as rejected:
        policy(config=config)
    assert str(rejected.value).startswith(words)


def test_a_format_that_a_class_lacks_names_the_step():
    subject = factories.pipeline()
    found = models.members_of(subject, sources_of(subject, {}), {}, factories.runtime_processor())
    with pytest.raises(RejectedError, match=r"^step detect: processor class cpu of the runtime"):
        found["detect"].config(batching())


def test_a_step_that_keeps_sequences_has_the_queue_of_its_own_batcher():
    model = factories.source(
        "oci://registry.example/x:1", "python", config={"sequence_batching": {}}
    )
    subject = factories.pipeline(
        steps=[factories.pipeline_step("detect", "image", model=model)],
        objectives=factories.objectives(80),
    )
    entry = factories.runtime_processor(backends={"python": "python"})
    found = models.members_of(subject, sources_of(subject, {}), {}, entry)["detect"]
    config = found.config(batching())
    assert "dynamic_batching" not in config
    assert "sequence_batching" in pbtxt.encode(config)
