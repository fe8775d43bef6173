"""What people copy is without a fault, and the table of faults has each of them."""

import re
from pathlib import Path

import pytest
import yaml

from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.pipelines import assembly, execution, validation
from tests.unit.core.pipelines import ocr

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
EXAMPLES = {
    "the page": re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0],
    "the sample": (ROOT / "manifests" / "samples" / "pipeline.yaml").read_text(encoding="utf-8"),
}
SOURCES = [Path(module.__file__) for module in (validation, validation.fitting, assembly)]


@pytest.mark.parametrize("where", EXAMPLES)
def test_an_example_has_no_fault_and_can_be_served(where):
    read = InferencePipeline.model_validate(yaml.safe_load(EXAMPLES[where]))

    assert validation.faults(read, ocr.known(read), ("resnet50", "detector")) == ()
    assert assembly.ensemble_of(read, ocr.known(read))["platform"] == "ensemble"


@pytest.mark.parametrize(
    "sources", [SOURCES, [Path(execution.__file__)]], ids=["faults", "servers"]
)
def test_the_page_explains_every_reason(sources):
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    reasons = {validation.Reason[name].value for name in re.findall(r"Reason\.([A-Z_]+)", text)}
    general = {"NoCandidate"}

    assert len(reasons) > 5
    assert {word for word in reasons - general if f"`{word}`" not in PAGE} == set()
