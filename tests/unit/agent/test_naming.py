import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.agent import profile
from ferryman.agent.naming import node_type
from ferryman.api.node_profile import Hardware

LABEL_VALUE = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
HASHED = re.compile(r".*[cm]-[0-9.]+[gm]i-[0-9a-f]{8}$")
GIB = 2**30
MIB = 2**20
A100 = "gpu NVIDIA A100-SXM4-80GB 81920"
any_text = st.text(st.characters(), max_size=600)
#: Words as they stand in names of CPUs and devices, so that clashes are tried, not hoped for.
words = st.lists(
    st.sampled_from(
        ["AMD", "EPYC", "9B14", "x2", "15gi", "2c", "arm64", "gpu", "npu", "T4", "8", "1.5", "+me"]
    ),
    min_size=1,
    max_size=5,
).map(" ".join)


def hardware(
    model="Intel(R) Xeon(R) CPU @ 2.20GHz", cpu=2_000, memory=15 * GIB, devices=(), on="amd64"
):
    return profile.fingerprint(
        architecture=on, cpu_model=model, cpu_millicores=cpu, memory_bytes=memory, devices=devices
    )


@pytest.mark.parametrize(
    ("given_hardware", "name"),
    [
        pytest.param(hardware("AMD EPYC 9B14", memory=23 * GIB), "epyc-9b14-2c-23gi", id="plain"),
        pytest.param(hardware(), "xeon-2.20ghz-2c-15gi", id="a clock rate tells CPUs apart"),
        pytest.param(hardware(cpu=500), "xeon-2.20ghz-500m-15gi", id="half a core"),
        pytest.param(hardware(memory=768 * MIB), "xeon-2.20ghz-2c-768mi", id="under a GiB"),
        pytest.param(
            hardware(memory=23 * GIB + 700 * MIB), "xeon-2.20ghz-2c-23.5gi", id="parts of a GiB"
        ),
        pytest.param(
            hardware("AMD EPYC 7763 64-Core Processor"),
            "epyc-7763-2c-15gi",
            id="words of all names",
        ),
        pytest.param(
            hardware("AMD EPYC (family 25 model 17)"),
            "epyc-family-25-model-17-2c-15gi",
            id="numbers for a name without one",
        ),
        pytest.param(
            hardware("Arm Neoverse-N1 r3", on="arm64"),
            "arm64-neoverse-n1-r3-2c-15gi",
            id="another architecture",
        ),
        pytest.param(
            hardware("AMD EPYC 7763", devices=[A100] * 2),
            "a100-sxm4-80gb-80gi-x2-epyc-7763-2c-15gi",
            id="devices come first",
        ),
        pytest.param(
            hardware("X1", devices=["gpu NVIDIA GB10 0"]), "gb10-x1-x1-2c-15gi", id="memory unknown"
        ),
        pytest.param(
            hardware("X1", devices=["npu Acme One 1024"]),
            "npu-acme-one-1gi-x1-x1-2c-15gi",
            id="another class than gpu",
        ),
    ],
)
def test_a_name_that_says_everything_has_no_hash(given_hardware, name):
    assert node_type(given_hardware) == name


@pytest.mark.parametrize(
    ("given_hardware", "name"),
    [
        pytest.param(hardware("é龍"), "e-2c-15gi", id="letters that a label cannot carry"),
        pytest.param(hardware("龍"), "unknown-2c-15gi", id="nothing is left"),
        pytest.param(
            hardware("X1", devices=[A100, "gpu Tesla T4 15360"]),
            "a100-sxm4-80gb-80gi-x2-x1-2c-15gi",
            id="unlike devices",
        ),
        pytest.param(hardware("i7+"), "i7-2c-15gi", id="a sign that can tell products apart"),
        pytest.param(
            hardware("X1", on="amiga"), "x1-2c-15gi", id="an architecture that nobody knows"
        ),
        pytest.param(
            hardware("arm64 X1"), "arm64-x1-2c-15gi", id="what reads as another architecture"
        ),
    ],
)
def test_what_a_name_leaves_out_stands_in_a_hash(given_hardware, name):
    assert re.fullmatch(re.escape(name) + "-[0-9a-f]{8}", node_type(given_hardware))


def test_a_cpu_model_that_is_cut_from_the_name_still_makes_another_type():
    first, second = (node_type(hardware("x" * 100 + tail)) for tail in "ab")
    assert first != second
    assert HASHED.match(first)


@given(any_text, st.integers(1, 10_000_000), st.integers(1, 2**50), st.lists(any_text, max_size=70))
def test_any_hardware_gives_a_valid_label_value(model, cpu, memory, devices):
    assert LABEL_VALUE.match(node_type(hardware(model, cpu, memory, devices)))


@given(any_text, st.integers(1, 10_000), st.integers(1, 2**40), st.permutations(["a b 1", "c d 2"]))
def test_twins_agree_whatever_the_order_of_their_devices(model, cpu, memory, devices):
    step = profile.MEMORY_STEP_BYTES
    ours = hardware(model, cpu, memory // step * step + step, ["a b 1", "c d 2"])
    twins = hardware(model, cpu, memory // step * step + step + memory % step, devices)
    assert node_type(ours) == node_type(twins)


@given(any_text, st.integers(1, 10_000), st.integers(1, 10_000))
def test_another_allocatable_cpu_is_another_type(model, cpu, other):
    types = {node_type(hardware(model, cores)) for cores in (cpu, other)}
    assert len(types) == len({cpu, other})


def same(hardware: Hardware):
    """Return a fingerprint without what tells no hardware from another."""
    spoken = (hardware.cpu_model, *hardware.devices)
    plain = [re.sub(r"\bAMD\b|\s", " ", text).split() for text in spoken]
    return hardware.architecture, hardware.cpu_millicores, hardware.memory_bytes, plain


some_hardware = st.builds(
    hardware,
    words,
    st.sampled_from([2_000, 8_000, 500]),
    st.sampled_from([15 * GIB, 2 * GIB]),
    st.lists(
        st.builds("{} {} {}".format, st.sampled_from(["gpu", "npu"]), words, st.just(15360)),
        max_size=2,
    ),
    st.sampled_from(["amd64", "arm64"]),
)


@given(some_hardware, some_hardware)
def test_unlike_hardware_never_has_one_name(one, other):
    if node_type(one) == node_type(other):
        assert same(one) == same(other)
