"""Published vulnerabilities of an image's tritonserver, as far as its name tells its release."""

import pytest

from ferryman.core.triton import advisories
from hack.images.recipes import RECIPES

EARLIER = ["CVE-2025-23310", "CVE-2025-23311", "CVE-2025-23317", "CVE-2025-23319"]
LATER = ["CVE-2025-33201", "CVE-2025-33211"]


@pytest.mark.parametrize(
    ("image", "names"),
    [
        pytest.param("nvcr.io/nvidia/tritonserver:25.06-py3", EARLIER + LATER, id="before both"),
        pytest.param(
            "nvcr.io/nvidia/tritonserver:25.07-py3", LATER, id="the first are mended in it"
        ),
        pytest.param("nvcr.io/nvidia/tritonserver:25.09", LATER, id="a tag without a suffix"),
        pytest.param("nvcr.io/nvidia/tritonserver:25.10-py3", [], id="all are"),
        pytest.param("nvcr.io/nvidia/tritonserver:26.08-py3", [], id="another year"),
        pytest.param("ferryman.dev/triton-cpu:2.51", EARLIER + LATER, id="the light CPU image"),
        pytest.param(
            "h:5000/triton-cpu:2.51@sha256:ab", EARLIER + LATER, id="tag, port and digest"
        ),
        pytest.param("h:5000/t/tritonserver@sha256:ab", [], id="a digest alone tells nothing"),
        pytest.param("h:5000/tritonserver", [], id="nor does no tag"),
        pytest.param("mine/triton:prod", [], id="nor one of another kind"),
    ],
)
def test_what_is_known_of_an_image(image, names):
    found = [name for each in advisories.of_image(image) for name in each.names]
    assert found == names
    assert (advisories.words(image) is None) is (not names)


def test_it_is_said_what_to_do():
    said = advisories.words("nvcr.io/nvidia/tritonserver:25.07-py3")
    assert said == (
        "the image nvcr.io/nvidia/tritonserver:25.07-py3 has a tritonserver with published "
        "vulnerabilities (CVE-2025-33201, CVE-2025-33211): a request without credentials ends it; "
        "use 25.10 or later, or admit only clients that you trust"
    )


def test_the_light_cpu_image_is_known_by_the_tag_that_it_has():
    assert advisories.of_image(RECIPES["triton-cpu"].tag)
