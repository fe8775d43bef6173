"""Whatever a source says, what is printed is as the API has it, and what is not is said why."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.clients import model_config, pbtxt
from ferryman.core.importing.triton import repository
from ferryman.core.importing.triton.model import StoredModel
from ferryman.core.triton import config as triton_config
from tests.unit.api import schemas
from tests.unit.core.importing.any_sources import OUTCOMES
from tests.unit.core.importing.sources import asked

PYTHON = RuntimeProcessor.model_validate(
    {"class": "gpu", "image": "triton", "backends": {"python": "python"}}
)
VALIDATORS = schemas.strict_validators()
KINDS = {"InferenceModel": InferenceModel, "InferencePipeline": InferencePipeline}


def expect_taken(imported):
    """Hold an outcome against the schemas and the types of the API."""
    assert (imported.manifest is None) == bool(imported.refusal)
    if imported.manifest is None:
        return
    kind = imported.manifest["kind"]
    problems = VALIDATORS[kind].iter_errors(imported.manifest)
    assert [f"{'.'.join(map(str, each.path))}: {each.message}" for each in problems] == []
    assert KINDS[kind].model_validate(imported.manifest)


sizes = st.lists(st.integers(1, 4), unique=True)


@given(st.integers(4, 300), st.integers(0, 50_000), st.integers(1, 9), sizes, st.integers(0, 9))
def test_what_served_before_serves_again(bound, delay_us, count, preferred, queue):
    before = ModelConfig(name="m", backend="python", max_batch_size=bound)
    before.dynamic_batching.max_queue_delay_microseconds = delay_us
    before.dynamic_batching.preferred_batch_size.extend(preferred)
    before.dynamic_batching.default_queue_policy.max_queue_size = queue
    before.instance_group.add(count=count, kind="KIND_GPU")
    stated = pbtxt.stated(pbtxt.to_text(before))
    (found,) = repository.imported([StoredModel("m", stated)], asked())
    spec = InferenceModel.model_validate(found.manifest).spec

    after = triton_config.model_config("m", PYTHON, spec.model, spec.batching.initial)
    after = pbtxt.parse(after)
    assert model_config.batching_of(after) == model_config.batching_of(before)


@pytest.mark.parametrize("kind", OUTCOMES)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_any_source(kind, data):
    for imported in data.draw(OUTCOMES[kind]):
        expect_taken(imported)
