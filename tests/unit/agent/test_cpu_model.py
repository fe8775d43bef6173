import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ferryman.agent.cpu_model import cpu_model, printable, read_cpu_model


def arm(*cores, name=""):
    """Return a cpuinfo of Arm cores, each (implementer, variant, part)."""
    return "".join(
        f"processor\t: {number}\n{name}BogoMIPS\t: 62.50\nFeatures\t: fp asimd\n"
        f"CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU variant\t: {variant}\n"
        f"CPU part\t: {part}\nCPU revision\t: 0\n\n"
        for number, (implementer, variant, part) in enumerate(cores)
    )


def s390x(machine):
    return (
        "vendor_id       : IBM/S390\n# processors    : 2\n"
        f"processor 0: version = FF,  identification = 0AAAAA,  machine = {machine}\n"
        f"processor 1: version = FF,  identification = 0AAAAA,  machine = {machine}\n"
    )


def riscv(**fields):
    return "processor\t: 0\nhart\t: 2\n" + "".join(f"{k}\t: {v}\n" for k, v in fields.items())


V8L = "model name\t: ARMv8 Processor rev 0 (v8l)\n"
CARMEL, A57, A78AE = ("0x4e", "0x0", "0x004"), ("0x41", "0x1", "0xd07"), ("0x41", "0x0", "0xd42")
A55, A76 = ("0x41", "0x2", "0xd05"), ("0x41", "0x4", "0xd0b")


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        pytest.param(s390x(8561), "IBM/S390 machine 8561", id="s390x names its machine"),
        pytest.param(
            "vendor_id: IBM/S390\ncpu number: 0\nversion: 00\nmachine         : 3931\n",
            "IBM/S390 machine 3931",
            id="s390x of a newer kernel",
        ),
        pytest.param(
            "CPU Family\t: Loongson-64bit\nModel Name\t: Loongson-3C6000/D\n",
            "Loongson-3C6000/D",
            id="LoongArch",
        ),
        pytest.param(riscv(uarch="sifive,u74-mc", mvendorid="0x489"), "sifive,u74-mc", id="RISC-V"),
        pytest.param(
            riscv(isa="rv64imafdc", mvendorid="0x5b7", marchid="0x0"),
            "mvendorid 0x5b7 marchid 0x0 isa rv64imafdc",
            id="RISC-V without a name",
        ),
        pytest.param(arm(CARMEL, name=V8L), "NVIDIA Carmel r0", id="a name that names nothing"),
        pytest.param(
            arm(("0x70", "0x1", "0x660")),
            "Arm implementer 0x70 part 0x660 variant 0x1",
            id="numbers",
        ),
        pytest.param(
            arm(A55, A55, A76), "Arm Cortex-A55 r2 + Arm Cortex-A76 r4", id="unlike cores"
        ),
        pytest.param(
            "model name\t: unknown\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t: 85\n",
            "vendor_id GenuineIntel cpu family 6 model 85",
            id="a sandbox that hides the name",
        ),
        pytest.param(
            "Processor\t: AArch64 Processor rev 4 (aarch64)\nHardware\t: Rockchip RK3399\n",
            "Rockchip RK3399",
            id="an old Arm kernel names the board",
        ),
        pytest.param("model name\t: A\x1b[2J\x00B 7\n", "A[2JB 7", id="no control characters"),
    ],
)
def test_every_architecture_names_its_cpu_its_way(cpuinfo, model):
    assert cpu_model(cpuinfo) == model


@pytest.mark.parametrize(
    "cpuinfos",
    [
        pytest.param([s390x(2964), s390x(8561)], id="s390x"),
        pytest.param([arm(each, name=V8L) for each in (CARMEL, A57, A78AE)], id="Jetson"),
        pytest.param([arm(A55), arm(A55, A76), arm(A76)], id="big and little cores"),
        pytest.param([arm(A55), arm(("0x41", "0x1", "0xd05"))], id="another variant"),
        pytest.param(
            [riscv(mvendorid="0x5b7"), riscv(mvendorid="0x710"), riscv(isa="rv64imac")], id="RISC-V"
        ),
    ],
)
def test_unlike_cpus_have_unlike_models(cpuinfos):
    assert len({cpu_model(each) for each in cpuinfos}) == len(cpuinfos)


def test_the_order_of_unlike_cores_is_chance():
    assert cpu_model(arm(A55, A76)) == cpu_model(arm(A76, A55))


@given(st.text(max_size=400))
@example("machine = \nvendor_id: IBM/S390\n")
@example("CPU part: zz\nCPU implementer: \ud800\n")
def test_any_text_gives_a_name_that_can_be_published(text):
    model = cpu_model(text)
    assert 1 <= len(model) <= 256
    assert printable(model) == model


def test_a_machine_without_a_cpuinfo_is_named_by_its_board(tmp_path):
    assert read_cpu_model(tmp_path, tmp_path) == "unknown"
    (tmp_path / "device-tree").mkdir()
    (tmp_path / "device-tree/model").write_bytes(b"Acme Board 2\0")
    assert read_cpu_model(tmp_path, tmp_path) == "unknown CPU of Acme Board 2"


def test_what_was_unknown_is_looked_for_again_and_what_was_known_stays(tmp_path):
    assert read_cpu_model(tmp_path, tmp_path) == "unknown"
    (tmp_path / "cpuinfo").write_bytes(b"model name: X \xff9\n")
    assert read_cpu_model(tmp_path, tmp_path) == "X \ufffd9"
    (tmp_path / "cpuinfo").unlink()
    assert read_cpu_model(tmp_path, tmp_path) == "X \ufffd9"
