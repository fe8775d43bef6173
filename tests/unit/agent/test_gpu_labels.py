import pytest

from ferryman.agent.gpu_labels import GpuLabels


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, GpuLabels(), id="none"),
        pytest.param({"kubernetes.io/os": "linux"}, GpuLabels(), id="others' alone"),
        pytest.param(
            {
                "cuda.driver.major": "550",
                "cuda.driver.minor": "54",
                "cuda.driver.rev": "15",
            },
            GpuLabels(driver="550.54.15"),
            id="the driver's version in parts",
        ),
        pytest.param(
            {"cuda.driver-version.full": "570.1.2", "cuda.driver.major": "550"},
            GpuLabels(driver="570.1.2"),
            id="the driver's whole version comes first",
        ),
        pytest.param(
            {"gpu.replicas": "4", "gpu.sharing-strategy": "none"},
            GpuLabels(),
            id="replicas without sharing say nothing",
        ),
        pytest.param(
            {"gpu.replicas": "four", "gpu.sharing-strategy": "mps", "gpu.count": "-1"},
            GpuLabels(sharing="mps"),
            id="numbers that are none",
        ),
        pytest.param(
            {"mig.strategy": "other", "gpu.sharing-strategy": "other"},
            GpuLabels(),
            id="words that nobody knows",
        ),
        pytest.param(
            {"gpu.product": "NVIDIA-L4-MIG-1g.5gb", "mig.strategy": "mixed"},
            GpuLabels(product="NVIDIA-L4", mig_strategy="mixed"),
            id="the product without the instance",
        ),
    ],
)
def test_labels_are_read(labels, expected):
    named = {key if "/" in key else f"nvidia.com/{key}": value for key, value in labels.items()}
    assert GpuLabels.read(named) == expected


def test_labels_that_say_nothing_disagree_with_nothing():
    seen = {"products": frozenset({"NVIDIA L4"}), "count": 2, "driver": "1.2", "mig": False}
    assert list(GpuLabels().disagreements(**seen)) == []
    assert list(GpuLabels("NVIDIA-L4", 2, "1.2").disagreements(**seen)) == []


def test_what_nvml_does_not_say_is_no_disagreement():
    seen = {"products": frozenset(), "count": 2, "driver": None, "mig": True}
    assert list(GpuLabels("NVIDIA-L4", 14, "1.2").disagreements(**seen)) == []
