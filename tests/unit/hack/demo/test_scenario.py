"""What the demo applies and sends: objects that the API takes, and input with known answers."""

import numpy as np
import pytest

from ferryman.api.inference_model import InferenceModel
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from hack.demo import scenario

LARGEST_CONFIG_MAP_BYTES = 2**20


@pytest.mark.parametrize("mode", [scenario.WATCHES["inferencemodel"], scenario.ACTS])
@pytest.mark.parametrize("batching", [scenario.TOO_SMALL, scenario.TOO_EAGER])
def test_models_are_valid_while_the_operator_watches_and_when_it_acts(mode, batching):
    stated = scenario.model(scenario.RUSH, mode, 280, batching)
    found = InferenceModel.model_validate(stated).spec
    assert found.batching.mode == mode
    assert found.objectives.latency.target_milliseconds == 280


@pytest.mark.parametrize("mode", [scenario.WATCHES["inferencepipeline"], scenario.ACTS])
def test_the_pipeline_asks_for_a_whole_number_of_pages(mode):
    found = InferencePipeline.model_validate(scenario.reader(mode, 7.6)).spec
    assert found.balancing.mode == mode
    assert found.objectives.throughput.min_per_second == 7


def test_a_pipeline_that_reads_less_than_a_page_a_second_is_still_asked_for_one():
    found = InferencePipeline.model_validate(scenario.reader(scenario.ACTS, 0.5)).spec
    assert found.objectives.throughput.min_per_second == 1


@pytest.mark.parametrize(
    ("write", "name", "shape"),
    [
        (scenario.write_strips_input, "input", (450, 16, 4)),
        (scenario.write_pages_input, "page", (scenario.PAGES, 132, 256, 3)),
    ],
)
def test_inputs_fit_into_a_config_map_and_have_their_answers(tmp_path, write, name, shape):
    file = write(tmp_path / "input.npz")
    assert file.stat().st_size * 4 / 3 < LARGEST_CONFIG_MAP_BYTES
    with np.load(file) as found:
        assert found[name].shape == shape
        assert len(found["labels"]) == shape[0]


def test_other_texts_may_be_what_is_to_be_read(tmp_path):
    texts = [f"page {number}" for number in range(scenario.PAGES)]
    with np.load(scenario.write_pages_input(tmp_path / "input.npz", texts)) as found:
        assert found["labels"].tolist() == texts
