import pytest

from ferryman.agent import cgroup
from ferryman.agent.cgroup import CgroupUnknownError, find
from tests.unit.agent.cgroups import POD, add_memory, v1, v2

SYSTEMD_POD = f"pod{POD.replace('-', '_')}.slice"


@pytest.mark.parametrize(
    "kubepods",
    [
        pytest.param("kubepods", id="cgroupfs driver"),
        pytest.param("kubepods.slice", id="systemd driver"),
        pytest.param("kubelet/kubepods", id="kind, cgroupfs driver"),
        pytest.param("kubelet.slice/kubelet-kubepods.slice", id="kind, systemd driver"),
    ],
)
@pytest.mark.parametrize("node", ["", "docker/4f1a", "system.slice/docker-4f1a.scope"])
def test_the_nodes_cgroup_is_what_holds_the_kubelets(tmp_path, node, kubepods):
    old = find(v1(tmp_path / "v1", node, kubepods))
    assert (old.version, old.cpu, old.memory) == (
        1,
        tmp_path / "v1/cpuacct" / node,
        tmp_path / "v1/memory" / node,
    )
    new = find(v2(tmp_path / "v2", node, kubepods))
    assert (new.version, new.cpu, new.memory) == (2, *(tmp_path / "v2" / node,) * 2)


def test_cgroup_v1_counts_cpu_time_and_memory_without_inactive_cache(tmp_path):
    node = find(v1(tmp_path, usage_ns=5_000_000_000, used=300, cache=120))
    assert (node.cpu_usage_ns(), node.working_set_bytes()) == (5_000_000_000, 180)


def test_cgroup_v2_counts_cpu_time_and_memory_without_inactive_cache(tmp_path):
    node = find(v2(tmp_path, usage_us=5_000_000, used=300, cache=120))
    assert (node.cpu_usage_ns(), node.working_set_bytes()) == (5_000_000_000, 180)


def test_the_machines_root_cgroup_v2_has_no_memory_of_its_own_so_its_children_add_up(tmp_path):
    node = find(v2(tmp_path, usage_us=1))
    add_memory(tmp_path / "system.slice", 100, 30)
    add_memory(tmp_path / "kubepods.slice", 50, 60)
    assert node.working_set_bytes() == 70  # a slice with more cache than use counts as nothing


def test_a_root_without_the_memory_controller_is_unknown(tmp_path):
    with pytest.raises(CgroupUnknownError, match="the memory controller is not enabled"):
        find(v2(tmp_path)).working_set_bytes()


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(f"kubelet/kubepods/pod{POD}", id="guaranteed, cgroupfs"),
        pytest.param(f"kubelet/kubepods/burstable/pod{POD}", id="burstable, cgroupfs"),
        pytest.param(
            f"kubelet/kubepods/kubepods-besteffort.slice/kubepods-besteffort-{SYSTEMD_POD}",
            id="best effort, systemd",
        ),
    ],
)
def test_of_several_nodes_the_one_with_the_agents_own_pod_is_chosen(tmp_path, folder):
    for node in ("docker/a", "docker/b", "docker/c"):
        v1(tmp_path, node, "kubelet/kubepods")
    for controller in ("cpuacct", "memory"):
        (tmp_path / controller / "docker/b" / folder).mkdir(parents=True)
    assert find(tmp_path, POD).cpu == tmp_path / "cpuacct/docker/b"


@pytest.mark.parametrize(
    ("folders", "links"),
    [
        pytest.param(
            ("cpu,cpuacct", "cpuacct,cpu"),
            {"cpu": "cpu,cpuacct", "cpuacct": "cpu,cpuacct"},
            id="RHEL 7: an empty folder of the other order lies beside it",
        ),
        pytest.param(("cpuacct,cpu",), {}, id="old SUSE: one folder for both, no links"),
        pytest.param(
            ("cpu,cpuacct", "unified/kubepods"),
            {"cpu": "cpu,cpuacct", "cpuacct": "cpu,cpuacct"},
            id="hybrid: a unified hierarchy beside those of version 1",
        ),
    ],
)
def test_the_controllers_folders_are_found_under_the_names_that_distributions_give_them(
    tmp_path, folders, links
):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    (tmp_path / folders[0] / "kubepods").mkdir()
    (tmp_path / folders[0] / "cpuacct.usage").write_text("5\n")
    memory = tmp_path / "memory"
    (memory / "kubepods").mkdir(parents=True)
    (memory / "memory.usage_in_bytes").write_text("100\n")
    (memory / "memory.stat").write_text("cache 1\ntotal_inactive_file 10\n")
    found = find(tmp_path)
    assert (found.version, found.cpu_usage_ns(), found.working_set_bytes()) == (1, 5, 90)


def test_one_cgroup_that_is_seen_by_two_ways_is_one(tmp_path, monkeypatch):
    for node in ("docker/a", "docker/a/docker/a"):
        v2(tmp_path, node, "kubepods")
    monkeypatch.setattr(cgroup, "_identity", lambda folder: (folder.name,))
    assert find(tmp_path).cpu == tmp_path / "docker/a"  # the nearest way


@pytest.mark.parametrize("build", [v1, v2])
def test_the_cgroup_that_a_restarted_node_left_behind_is_told_by_its_silence(tmp_path, build):
    controllers = ("cpuacct", "memory") if build is v1 else ("",)
    for node in ("docker/a", "docker/a/docker/a"):
        build(tmp_path, node, "kubelet/kubepods")
        for controller in controllers:
            pod = tmp_path / controller / node / f"kubelet/kubepods/besteffort/pod{POD}"
            (pod / "container").mkdir(parents=True)
            processes = "7\n" if node == "docker/a/docker/a" else ""
            (pod / "container/cgroup.procs").write_text(processes)
    assert find(tmp_path, POD).cpu == tmp_path / controllers[0] / "docker/a/docker/a"


def test_a_folder_that_cannot_be_looked_into_hides_no_other(tmp_path):
    v2(tmp_path)
    (tmp_path / "a-loop").symlink_to(tmp_path / "a-loop")
    assert find(tmp_path).cpu == tmp_path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("user_usec 1\n", "has no usage_usec", id="not counted"),
        pytest.param("usage_usec x\n", "holds 'x', which is no number", id="no number"),
        pytest.param(f"usage_usec {'9' * 5_000}\n", "which is no number", id="a number too long"),
        pytest.param(None, "cannot be read", id="gone"),
    ],
)
def test_what_is_wrong_with_a_counter_is_said(tmp_path, content, words):
    node = find(v2(tmp_path))
    (tmp_path / "cpu.stat").unlink()
    if content is not None:
        (tmp_path / "cpu.stat").write_text(content)
    with pytest.raises(CgroupUnknownError, match=words):
        node.cpu_usage_ns()


def test_odd_lines_beside_a_counter_do_not_matter(tmp_path):
    node = find(v2(tmp_path))
    (tmp_path / "cpu.stat").write_text("\nodd\na b c\nusage_usec 7\n")
    assert node.cpu_usage_ns() == 7_000


@pytest.mark.parametrize(
    ("limit", "millicores"),
    [
        pytest.param("50000", 500, id="the kernel's own period"),
        pytest.param("50000 0", None, id="no period"),
        pytest.param("max", None, id="no limit"),
    ],
)
def test_an_odd_limit_is_read_as_the_kernel_means_it(tmp_path, limit, millicores):
    v2(tmp_path)
    (tmp_path / "cpu.max").write_text(limit)
    assert find(tmp_path).quota_millicores() == millicores


def test_of_several_nodes_none_is_guessed(tmp_path):
    for node in ("docker/a", "docker/b"):
        v2(tmp_path, node, "kubelet/kubepods")
    with pytest.raises(CgroupUnknownError, match=r"2 kubepods cgroups .* no telling which"):
        find(tmp_path, POD)


def test_without_a_kubelet_the_message_says_what_to_mount(tmp_path):
    (tmp_path / "cgroup.controllers").touch()
    with pytest.raises(CgroupUnknownError, match=r"no kubepods .* mount the node's own"):
        find(tmp_path)


def test_a_folder_that_is_no_cgroup_file_system_is_refused(tmp_path):
    with pytest.raises(CgroupUnknownError, match="not a cgroup file system"):
        find(tmp_path / "nothing")


def test_both_controllers_in_one_mount_are_found(tmp_path):
    v1(tmp_path)
    (tmp_path / "cpuacct").rename(tmp_path / "cpu,cpuacct")
    assert find(tmp_path).cpu == tmp_path / "cpu,cpuacct"


def limit_v1(folder, quota_us, period_us=100_000):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota_us}\n")
    (folder / "cpu.cfs_period_us").write_text(f"{period_us}\n")


@pytest.mark.parametrize(
    ("own", "above", "millicores"),
    [
        pytest.param(None, None, None, id="no limit"),
        pytest.param(50_000, None, 500, id="the node's own"),
        pytest.param(None, 150_000, 1_500, id="one above the node"),
        pytest.param(200_000, 150_000, 1_500, id="the lesser of two"),
    ],
)
def test_the_cpu_quota_is_the_least_limit_on_the_way_down(tmp_path, own, above, millicores):
    old = v1(tmp_path / "v1", "docker/a", "kubepods")
    new = v2(tmp_path / "v2", "docker/a", "kubepods")
    (old / "cpu").mkdir()
    for path, quota_us in (("docker/a", own), ("docker", above)):
        limit_v1(old / "cpu" / path, quota_us or -1)
        (new / path / "cpu.max").write_text(f"{quota_us or 'max'} 100000\n")
    assert find(old).quota_millicores() == millicores
    assert find(new).quota_millicores() == millicores


def test_the_quota_is_found_where_cpu_and_cpuacct_are_one_mount(tmp_path):
    v1(tmp_path)
    (tmp_path / "cpuacct").rename(tmp_path / "cpu,cpuacct")
    limit_v1(tmp_path / "cpu,cpuacct", 25_000, 50_000)
    assert find(tmp_path).quota_millicores() == 500


def test_without_the_cpu_controller_there_is_no_quota_to_see(tmp_path):
    assert find(v1(tmp_path)).quota_millicores() is None
