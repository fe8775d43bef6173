"""Rules that hold for the repository as a whole."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Split, so that this file does not find itself.
MACHINE_PATHS = ("/" + "work/", "/" + "root/", "/" + "home/[a-z]")
REGISTRY_HOSTS = (
    "pypi" + r"\.org",
    "pythonhosted" + r"\.org",
    "proxy" + r"\.golang\.org",
    "deb" + r"\.debian\.org",
    "registry" + r"\.npmjs\.org",
    "index" + "-url[ =]",
)


def _tracked_text() -> list[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    paths = [path for path in listed.split("\0") if path and (ROOT / path).is_file()]
    return [(path, (ROOT / path).read_text(errors="ignore")) for path in paths]


def test_the_source_root_does_not_shadow_the_standard_library():
    import operator  # noqa: PLC0415  the import is what is tested

    assert not (ROOT / "operator" / "__init__.py").exists()
    assert operator.add(1, 2) == 3


def test_no_file_names_a_path_of_one_machine_or_a_package_registry():
    forbidden = re.compile("|".join((*MACHINE_PATHS, *REGISTRY_HOSTS)))
    found = [
        f"{path}: {match.group()}"
        for path, text in _tracked_text()
        for match in forbidden.finditer(text)
    ]

    assert not found


def test_no_file_is_too_large_for_a_source_repository():
    sizes = {path: (ROOT / path).stat().st_size for path, _ in _tracked_text()}

    assert {path for path, size in sizes.items() if size > 2**20} == set()


def test_workflows_name_the_actions_of_others_by_commit():
    used = [
        (path, match.group(1))
        for path, text in _tracked_text()
        if path.startswith(".github/workflows/")
        for match in re.finditer(r"uses: *(\S+)", text)
    ]

    assert used
    assert not [each for each in used if not re.search(r"@[0-9a-f]{40}$", each[1])]
