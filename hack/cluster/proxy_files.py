"""What the image of kube-proxy holds beside kube-proxy: the tools it runs, and their libraries.

iptables loads an extension (`libxt_statistic.so` and the like) when a rule first needs it, so the
libraries of all extensions count as much as those of the tools.
"""

from __future__ import annotations

from pathlib import Path

from hack.cluster.shell import ClusterError, run

TOOLS = tuple(f"/usr/sbin/{name}" for name in ("xtables-nft-multi", "nft", "conntrack"))
EXTENSIONS = "usr/lib/*/xtables/*.so"
FAMILIES = ("iptables", "ip6tables")


def collect(root: Path, links: Path) -> dict[str, Path]:
    """Return files by their path in the image, from a Debian `root`; links are made in `links`."""
    extensions = [f"/{path.relative_to(root)}" for path in sorted(root.glob(EXTENSIONS))]
    needed = libraries(run("chroot", root, "ldd", *TOOLS, *extensions))
    names = (*TOOLS, *extensions, *sorted(needed))
    # Links are followed below `root`: an absolute one would lead to a file of this machine's.
    real = run("chroot", root, "realpath", *names).split()
    files = {name: root / path.lstrip("/") for name, path in zip(names, real, strict=True)}
    return files | _links(links)


def libraries(listed: str) -> set[str]:
    """Return the libraries that ldd lists, for one file or many; all must have been found."""
    missing = sorted({line.split()[0] for line in listed.splitlines() if "not found" in line})
    if missing:
        raise ClusterError(
            f"kube-proxy's tools need {', '.join(missing)}, which the node's file system lacks: "
            "add the Debian package to PACKAGES in hack/cluster/node_image.py."
        )
    return {word for word in listed.split() if word.startswith("/") and not word.endswith(":")}


def _links(folder: Path) -> dict[str, Path]:
    found = {}
    for name in (f"{family}{end}" for family in FAMILIES for end in ("", "-save", "-restore")):
        link = folder / name
        link.symlink_to("xtables-nft-multi")
        found[f"/usr/sbin/{name}"] = link
    return found
