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
    seen = {"products": {"NVIDIA L4": 2}, "count": 2, "driver": "1.2", "mig": False}
    assert list(GpuLabels().disagreements(**seen)) == []
    assert list(GpuLabels("NVIDIA-L4", 2, "1.2").disagreements(**seen)) == []


def test_what_nvml_does_not_say_is_no_disagreement():
    seen = {"products": {}, "count": 2, "driver": None, "mig": True}
    assert list(GpuLabels("NVIDIA-L4", 14, "1.2").disagreements(**seen)) == []


def disagreements(labels, products, driver=None):
    count = sum(products.values())
    return list(
        GpuLabels.read(labels).disagreements(
            products=products, count=count, driver=driver, mig=False
        )
    )


@pytest.mark.parametrize(
    ("product", "label"),
    [
        pytest.param("NVIDIA H100 80GB HBM3", "NVIDIA-H100-80GB-HBM3", id="blanks are dashes"),
        pytest.param("Orin (nvgpu)", "Orin-nvgpu", id="what a label cannot carry is dropped"),
        pytest.param("NVIDIA  A10  24Q", "NVIDIA-A10-24Q", id="several blanks are one dash"),
        pytest.param("NVIDIA  A10", "NVIDIA--A10", id="an old version made a dash of each"),
    ],
)
def test_a_product_is_compared_as_gpu_feature_discovery_writes_it(product, label):
    assert disagreements({"nvidia.com/gpu.product": label}, {product: 1}) == []


def test_a_label_that_counts_one_of_two_products_disagrees_with_nothing():
    labels = {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.count": "1"}
    assert disagreements(labels, {"Tesla T4": 1, "NVIDIA A10": 2}) == []
    (note,) = disagreements(
        labels | {"nvidia.com/gpu.count": "2"}, {"Tesla T4": 1, "NVIDIA A10": 2}
    )
    assert note.startswith("NVML lists 3 GPUs")


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"cuda.driver-version.full": "580.126.09"}, id="the whole version"),
        pytest.param({"cuda.driver.major": "580", "cuda.driver.minor": "126"}, id="two parts"),
        pytest.param(
            {"cuda.driver.major": "580", "cuda.driver.minor": "126", "cuda.driver.rev": "9"},
            id="a zero less",
        ),
    ],
)
def test_a_version_that_says_less_does_not_disagree(labels):
    named = {f"nvidia.com/{key}": value for key, value in labels.items()}
    assert disagreements(named, {"NVIDIA GB10": 1}, driver="580.126.09") == []


def test_a_version_of_strange_digits_is_compared_as_text():
    labels = {"nvidia.com/cuda.driver-version.full": "550.1"}
    assert "the label counts" in disagreements(labels, {}, driver="550.²")[0]
