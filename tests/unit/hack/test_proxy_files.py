"""The image of kube-proxy holds the libraries of all that iptables may load."""

import pytest

from hack.cluster import proxy_files
from hack.cluster.shell import ClusterError

LISTED = """\
/usr/sbin/xtables-nft-multi:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibxtables.so.12 => /lib/x86_64-linux-gnu/libxtables.so.12 (0x00007f01)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)
/usr/lib/x86_64-linux-gnu/xtables/libxt_statistic.so:
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f03)
/usr/lib/x86_64-linux-gnu/xtables/libxt_mark.so:
\tstatically linked
"""


def test_the_libraries_of_tools_and_extensions_are_taken():
    assert proxy_files.libraries(LISTED) == {
        "/lib/x86_64-linux-gnu/libxtables.so.12",
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libm.so.6",
    }


def test_a_library_that_is_not_there_is_named():
    with pytest.raises(ClusterError, match=r"need libmnl\.so\.0, which .* PACKAGES"):
        proxy_files.libraries(LISTED + "\tlibmnl.so.0 => not found\n")


def test_every_extension_is_asked_for_its_libraries_and_links_lead_to_the_roots_files(
    tmp_path, monkeypatch
):
    root, links = tmp_path / "root", tmp_path / "links"
    extensions = root / "usr/lib/x86_64-linux-gnu/xtables"
    for folder in (extensions, links):
        folder.mkdir(parents=True)
    for name in ("libxt_statistic.so", "libip6t_rt.so"):
        (extensions / name).touch()
    asked = {}

    def run(*command):
        asked[command[2]] = command[3:]
        return LISTED if command[2] == "ldd" else "\n".join(command[3:])

    monkeypatch.setattr(proxy_files, "run", run)
    files = proxy_files.collect(root, links)

    for name in ("libxt_statistic.so", "libip6t_rt.so"):
        path = f"/usr/lib/x86_64-linux-gnu/xtables/{name}"
        assert path in asked["ldd"]
        assert files[path] == extensions / name
    assert files["/lib/x86_64-linux-gnu/libm.so.6"] == root / "lib/x86_64-linux-gnu/libm.so.6"
    assert files["/usr/sbin/ip6tables-restore"].readlink().name == "xtables-nft-multi"
