import pytest

from ferryman.core.fleet.guide import guide

A, B, GPU = ("a", "cpu"), ("b", "cpu"), ("g", "gpu")
SPEEDS = {A: 10.0, B: 40.0, GPU: 400.0}


@pytest.mark.parametrize(
    ("here", "measured", "speeds", "found"),
    [
        pytest.param(A, [GPU, A], {}, (A, 1.0), id="measured here, whatever the benchmarks"),
        pytest.param(A, [GPU, B], SPEEDS, (B, 4.0), id="of the same class, if there is one"),
        pytest.param(GPU, [B, A], SPEEDS, (B, 0.1), id="else the first"),
        pytest.param(A, [B, GPU], {A: 10.0, GPU: 400.0}, (GPU, 40.0), id="only one is rated"),
        pytest.param(A, [B], {B: 40.0}, None, id="no benchmark here"),
        pytest.param(A, [B], {A: 10.0}, None, id="none there"),
        pytest.param(A, [], SPEEDS, None, id="nothing was measured"),
    ],
)
def test_whose_service_times_tell(here, measured, speeds, found):
    assert guide(here, measured, speeds) == found
