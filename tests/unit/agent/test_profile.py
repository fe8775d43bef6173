import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.agent import profile
from ferryman.agent.processors import Discovery, Utilisation
from ferryman.api.node_profile import CpuTopology, Processor

LABEL_VALUE = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
GIB = 2**30
NOW = datetime(2026, 11, 21, 13, 0, 0, 987_654, tzinfo=UTC)
any_text = st.text(st.characters(), max_size=600)


def hardware(model="Intel(R) Xeon(R) CPU @ 2.20GHz", cpu=2_000, memory=15 * GIB, devices=()):
    return profile.fingerprint(
        architecture="amd64",
        cpu_model=model,
        cpu_millicores=cpu,
        memory_bytes=memory,
        devices=devices,
    )


@pytest.mark.parametrize(
    ("given_hardware", "name"),
    [
        pytest.param(hardware(), "cpu-intel-xeon-2c-15gi", id="CPU model, cores, memory"),
        pytest.param(hardware(cpu=500), "cpu-intel-xeon-500m-15gi", id="half a core"),
        pytest.param(hardware(memory=768 * 2**20), "cpu-intel-xeon-2c-768mi", id="under a GiB"),
        pytest.param(
            hardware("AMD EPYC 7763 64-Core Processor"), "cpu-amd-epyc-7763-2c-15gi", id="AMD"
        ),
        pytest.param(
            hardware(devices=["gpu NVIDIA A100-SXM4-80GB 81920"] * 2),
            "a100-sxm4-80gb-x2-2c-15gi",
            id="the device comes first",
        ),
        pytest.param(hardware("é龍"), "cpu-e-2c-15gi", id="only ASCII is kept"),
        pytest.param(hardware("龍"), "cpu-unknown-2c-15gi", id="nothing is left"),
    ],
)
def test_node_types_can_be_read(given_hardware, name):
    assert re.fullmatch(re.escape(name) + "-[0-9a-f]{8}", profile.node_type(given_hardware))


@given(any_text, st.integers(1, 10_000_000), st.integers(1, 2**50), st.lists(any_text, max_size=70))
def test_any_hardware_gives_a_valid_label_value(model, cpu, memory, devices):
    assert LABEL_VALUE.match(profile.node_type(hardware(model, cpu, memory, devices)))


@given(any_text, st.integers(1, 10_000), st.integers(1, 2**40), st.permutations(["a b 1", "c d 2"]))
def test_twins_agree_whatever_the_order_of_their_devices(model, cpu, memory, devices):
    step = profile.MEMORY_STEP_BYTES
    ours = hardware(model, cpu, memory // step * step + step, ["a b 1", "c d 2"])
    twins = hardware(model, cpu, memory // step * step + step + memory % step, devices)
    assert profile.node_type(ours) == profile.node_type(twins)


@given(any_text, st.integers(1, 10_000), st.integers(1, 10_000))
def test_another_allocatable_cpu_is_another_type(model, cpu, other):
    types = {profile.node_type(hardware(model, cores)) for cores in (cpu, other)}
    assert len(types) == len({cpu, other})


def test_a_cpu_model_that_is_cut_from_the_name_still_makes_another_type():
    first, second = (hardware("x" * 100 + tail) for tail in "ab")
    assert profile.node_type(first) != profile.node_type(second)


def test_what_a_kernel_or_a_quota_changes_splits_no_twins():
    plain = hardware()
    described = plain.with_(
        cpu=CpuTopology(sockets=2, instruction_sets=("avx2",), quota_millicores=500)
    )
    assert profile.node_type(described) == profile.node_type(plain)


def test_notes_are_said_once_and_fit():
    status = profile.status(hardware(), [], ["same", "same", "x" * 600, *map(str, range(30))])
    assert status.notes[:2] == ("same", "x" * 512)
    assert len(status.notes) == 16


def test_a_processor_without_a_sample_is_unknown_not_idle():
    gpu = Processor(processor_class="gpu", product="T4", utilisation=0.5, memory_utilisation=0.5)
    (seen,) = profile.processors_of(Discovery((gpu,)), {})
    assert (seen.utilisation, seen.memory_utilisation) == (None, None)


def test_the_reason_of_an_unavailable_processor_comes_from_the_latest_look():
    gpu = Processor(processor_class="gpu", product="T4", unavailable="old")
    seen = {"gpu": Utilisation(unavailable="new")}
    assert profile.processors_of(Discovery((gpu,)), seen)[0].unavailable == "new"


def test_the_wire_form_leaves_the_benchmarks_to_their_own_writer():
    status = profile.status(hardware(), [Processor(processor_class="cpu", product="x")], [])
    wire = profile.wire(status, NOW)
    assert "benchmarks" not in wire
    assert wire["heartbeatTime"] == "2026-11-21T13:00:00Z"
    assert "utilisation" not in wire["processors"][0]
