from datetime import UTC, datetime

import pytest

from ferryman.agent import profile
from ferryman.agent.processors import Discovery, Utilisation
from ferryman.api.node_profile import CpuTopology, Processor

GIB = 2**30
NOW = datetime(2026, 11, 21, 13, 0, 0, 987_654, tzinfo=UTC)


def hardware(model="Intel(R) Xeon(R) CPU @ 2.20GHz", cpu=2_000, memory=15 * GIB, devices=()):
    return profile.fingerprint(
        architecture="amd64",
        cpu_model=model,
        cpu_millicores=cpu,
        memory_bytes=memory,
        devices=devices,
    )


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


@pytest.mark.parametrize(
    ("cpu", "memory"),
    [
        pytest.param(0, 0, id="nothing can be allocated"),
        pytest.param(-5, -1, id="less than nothing"),
        pytest.param(10**12, 2**60, id="more than there is"),
    ],
)
def test_allocatable_that_cannot_be_is_brought_within_what_a_profile_holds(cpu, memory):
    assert profile.status(hardware(cpu=cpu, memory=memory), [], []).node_type


def test_what_a_terminal_cannot_show_is_left_out():
    status = profile.status(hardware("Evil\x1b[31m \ud800CPU\0"), [], ["a\x07 note\n"])
    assert status.hardware.cpu_model == "Evil[31m CPU"
    assert status.notes == ("a note",)


def test_a_class_of_unknown_use_of_which_nobody_said_why_has_a_note():
    gpu = Processor(processor_class="gpu", product="T4")
    assert profile.unexplained([gpu], ["another"]) == (
        "utilisation of gpu is unknown: no plug-in has told it yet",
    )
    assert profile.unexplained([gpu], ["GPU utilisation is unknown: MIG"]) == ()
    assert profile.unexplained([gpu.with_(utilisation=0.0)], []) == ()


def test_how_many_devices_are_out_of_use_comes_from_the_latest_look():
    gpu = Processor(processor_class="gpu", product="T4", count=8)
    found = Discovery((gpu.with_(unavailable="old", unavailable_count=1),))
    seen = {"gpu": Utilisation(unavailable="new", unavailable_count=2)}
    assert profile.processors_of(found, seen)[0].unavailable_count == 2
    assert profile.processors_of(found, {"gpu": Utilisation()})[0].unavailable_count == 1


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
