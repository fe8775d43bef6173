"""Builders of cgroup file systems as they look from inside a node."""

POD = "0d0b7e99-870d-5060-72e1-5f0b06ef75df"


def v1(
    root, node="", kubepods="kubelet.slice/kubelet-kubepods.slice", *, usage_ns=0, used=0, cache=0
):
    """Write the cpuacct and memory hierarchies of a node below ``root``."""
    cpu, memory = root / "cpuacct" / node, root / "memory" / node
    (cpu / kubepods).mkdir(parents=True, exist_ok=True)
    (memory / kubepods).mkdir(parents=True, exist_ok=True)
    (cpu / "cpuacct.usage").write_text(f"{usage_ns}\n")
    (memory / "memory.usage_in_bytes").write_text(f"{used}\n")
    (memory / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {cache}\n")
    return root


def v2(root, node="", kubepods="kubepods.slice", *, usage_us=0, used=None, cache=0):
    """Write a unified hierarchy; without ``used`` the node is the machine's root cgroup."""
    folder = root / node
    (folder / kubepods).mkdir(parents=True, exist_ok=True)
    (root / "cgroup.controllers").write_text("cpu memory\n")
    (folder / "cpu.stat").write_text(f"usage_usec {usage_us}\nuser_usec 1\n")
    if used is not None:
        add_memory(folder, used, cache)
    return root


def add_memory(folder, used, cache):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\n")
