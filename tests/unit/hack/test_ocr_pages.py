"""Pages of known text, and the pipeline that reads them, as they are stated."""

import numpy as np
import pytest

from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.pipelines import signatures, validation
from hack.models.ocr import pages, pipeline


def test_a_page_is_the_same_each_time_and_another_one_for_each_seed():
    first, again, other = pages.page(5), pages.page(5), pages.page(6)
    assert np.array_equal(first.image, again.image)
    assert first.lines == again.lines
    assert first.lines != other.lines


@pytest.mark.parametrize("lines", [1, 3, 9])
def test_all_text_is_on_the_page(lines):
    page = pages.page(seed=1, lines=lines)
    inked = page.image.min(axis=2) < pages.WHITE
    assert len(page.lines) == lines
    assert inked[pages.FIRST_LINE :, pages.MARGIN :].sum() == inked.sum() > 0
    assert not inked[:, -pages.MARGIN :].any()
    assert not inked[-4:].any()


def test_the_pipeline_is_without_faults():
    stated = pipeline.spec(lambda name: f"oci://x/{name}:1", {"throughput": {"minPerSecond": 1}})
    manifest = InferencePipeline.model_validate(pipeline.manifest("default", stated))
    known = {
        step.name: signatures.of_config({**step.model.config, "name": step.name})
        for step in manifest.spec.steps
    }
    assert validation.faults(manifest, known) == ()
