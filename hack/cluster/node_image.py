"""Our own kind node image, for machines that reach package registries but no image registry.

A Debian root file system, the files that kind publishes for its base image (taken from its
Go module, see the node-image contract in kind's documentation), Kubernetes built by Go, and
the images that kubeadm expects, imported into the store of the node's containerd.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

from hack.cluster import archives, binaries, proxy_files, rootfs
from hack.cluster.binaries import KUBERNETES, MODULES, SOURCES
from hack.cluster.engine import Engine
from hack.cluster.shell import ClusterError, Progress, run, to_stderr
from hack.images.cache import digest, entry

PACKAGES = (
    "bash", "ca-certificates", "conntrack", "containernetworking-plugins", "curl", "dbus",
    "e2fsprogs", "ethtool", "hostname", "iproute2", "iptables", "jq", "kmod", "libseccomp2",
    "mount", "nftables", "openssl", "procps", "socat", "systemd", "util-linux",
)  # fmt: skip
ON_NODE = {
    "kubeadm": "usr/bin", "kubelet": "usr/bin", "kubectl": "usr/bin",
    "containerd": "usr/local/bin", "containerd-shim-runc-v2": "usr/local/bin",
    "ctr": "usr/local/bin", "runc": "usr/local/sbin",
}  # fmt: skip
#: Images of one static program each: the program, then its tag.
PLAIN_IMAGES = {
    "kube-apiserver": f"registry.k8s.io/kube-apiserver:{KUBERNETES}",
    "kube-controller-manager": f"registry.k8s.io/kube-controller-manager:{KUBERNETES}",
    "kube-scheduler": f"registry.k8s.io/kube-scheduler:{KUBERNETES}",
    # kubeadm asks for this release by name; a later etcd serves it as well.
    "etcd": "registry.k8s.io/etcd:3.6.8-0",
}
PROXY_IMAGE = f"registry.k8s.io/kube-proxy:{KUBERNETES}"
DNS_IMAGE = "registry.k8s.io/coredns/coredns:v1.14.2"
#: containerd's sandbox image and kubeadm's.
PAUSE_IMAGES = ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10.2")
PROGRAMS = (*ON_NODE, *PLAIN_IMAGES, "kube-proxy", "coredns")


def ensure(engine: Engine, progress: Progress = to_stderr) -> str:
    """Return the tag of the node image in the engine, making what is not cached."""
    tag = _tag(_key())
    if not engine.has_image(tag):
        archive = archive_of(progress)
        progress("importing the node image into the engine")
        engine.import_rootfs(archive, f"{tag}-rootfs")
        engine.build(MODULES, MODULES / "Dockerfile", tag, {"ROOTFS": f"{tag}-rootfs"})
        _forget_older(engine, archive.parent)
    return tag


def _forget_older(engine: Engine, current: Path) -> None:
    """Keep one node image, of a gigabyte each; one that a cluster still runs stays."""
    for older in current.parent.iterdir():
        if older.is_dir() and older.name != current.name and not older.name.startswith("."):
            shutil.rmtree(older)
            for tag in (_tag(older.name), f"{_tag(older.name)}-rootfs"):
                with suppress(ClusterError):
                    engine.docker("image", "rm", tag)


def _tag(key: str) -> str:
    return f"ferryman-node:{KUBERNETES}-{key}"


def archive_of(progress: Progress = to_stderr) -> Path:
    """Return the archive of the node's root file system, from the cache or newly made."""

    def fill(folder: Path) -> None:
        progress("making the node image (once: it is cached)")
        root = folder / "root"
        rootfs.unpack(rootfs.archive("node", PACKAGES, progress), root)
        _lay_out(root, progress)
        progress("packing the node image")
        rootfs.pack(root, folder / "node.tar")
        shutil.rmtree(root)

    return entry("node-image", _key(), fill) / "node.tar"


def _key() -> str:
    code = [Path(__file__).with_name(f"{name}.py") for name in ("archives", "proxy_files")]
    versions = [f"{name} {SOURCES[name].version}" for name in (*PROGRAMS, "kind")]
    return digest([MODULES, Path(__file__), *code], *PACKAGES, *versions)


def _lay_out(root: Path, progress: Progress) -> None:
    programs = binaries.ensure(*PROGRAMS, progress=progress)
    _copy_kind_files(root)
    for name, folder in ON_NODE.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(programs[name], root / folder / name)
    shutil.copytree(root / "usr/lib/cni", root / "opt/cni/bin", dirs_exist_ok=True)
    (root / "kind/version").write_text(KUBERNETES)
    (root / "kind/manifests").mkdir(exist_ok=True)
    shutil.copy(MODULES / "default-storage.yaml", root / "kind/manifests")
    (root / "etc/kubernetes/manifests").mkdir(parents=True, exist_ok=True)
    _write_base_spec(root / "etc/containerd/cri-base.json", programs["ctr"])
    _set_up_systemd(root)
    progress("making the images of Kubernetes")
    _preload(root, programs)


def _copy_kind_files(root: Path) -> None:
    """Copy what kind puts on its own base image; only programs get run bits."""
    module = f"sigs.k8s.io/kind@{SOURCES['kind'].version}"
    binaries.require_go()
    found = json.loads(run("go", "mod", "download", "-json", module, cwd=MODULES, timeout_s=120))
    files = Path(found["Dir"], "images/base/files")
    for source in sorted(path for path in files.rglob("*") if path.is_file()):
        name = source.relative_to(files)
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if "bin" in name.parts else 0o644)


def _write_base_spec(path: Path, ctr: Path) -> None:
    """Write the container spec of kind's containerd configuration, as kind's base image does."""
    spec = json.loads(run(ctr, "oci", "spec"))
    spec["process"].pop("rlimits", None)
    hook = {"path": "/kind/bin/mount-product-files.sh"}
    spec.setdefault("hooks", {}).setdefault("createContainer", []).append(hook)
    path.write_text(json.dumps(spec))


def _set_up_systemd(root: Path) -> None:
    """Leave systemd nothing to start but the node's services, and nothing that sets the host."""
    for wants in (
        *root.glob("lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service"),
        *root.glob("lib/systemd/system/multi-user.target.wants/*"),
        *root.glob("etc/systemd/system/*.wants/*"),
        *root.glob("lib/systemd/system/local-fs.target.wants/*"),
        *root.glob("lib/systemd/system/sockets.target.wants/*udev*"),
        *root.glob("lib/systemd/system/sockets.target.wants/*initctl*"),
        *root.glob("lib/systemd/system/basic.target.wants/*"),
    ):
        wants.unlink()
    with (root / "etc/systemd/journald.conf").open("a") as config:
        config.write("ReadKMsg=no\n")
    init = root / "sbin/init"
    init.unlink(missing_ok=True)
    init.symlink_to("/usr/lib/systemd/systemd")
    services = ("kubelet.service", "containerd.service", "undo-mount-hacks.service")
    run("systemctl", f"--root={root}", "enable", *services)
    run("systemctl", f"--root={root}", "mask", "systemd-binfmt.service")


def _preload(root: Path, programs: dict[str, Path]) -> None:
    """Put the images that kubeadm expects into the store of the node's containerd."""
    folder = root.parent / "images"
    folder.mkdir()
    for name, tag in PLAIN_IMAGES.items():
        files = {f"/usr/local/bin/{name}": programs[name]}
        archives.write(folder / f"{name}.tar", [tag], files, [name])
    archives.write(folder / "dns.tar", [DNS_IMAGE], {"/coredns": programs["coredns"]}, ["/coredns"])
    pause = folder / "pause"
    run("gcc", "-Os", "-static", "-s", "-o", pause, MODULES / "pause.c")
    archives.write(folder / "pause.tar", PAUSE_IMAGES, {"/pause": pause}, ["/pause"])
    files = proxy_files.collect(root, folder)
    files |= {"/usr/local/bin/kube-proxy": programs["kube-proxy"]}
    archives.write(folder / "proxy.tar", [PROXY_IMAGE], files, ["/usr/local/bin/kube-proxy"])
    archives.import_into(root / "var/lib/containerd", sorted(folder.glob("*.tar")), programs)
    shutil.rmtree(folder)
