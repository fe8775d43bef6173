"""A reader finds a room by its door: few files in a folder, one class of a name, no cycles."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import ferryman

SOURCES = Path(ferryman.__file__).parent
MOST_FILES = 20
MOST_IN_CORE = 10
FOLDERS = sorted({path.parent for path in SOURCES.rglob("*.py")})


def modules(folder):
    return [path for path in folder.glob("*.py") if path.name != "__init__.py"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_can_be_looked_over(folder):
    assert len(list(folder.glob("*.py"))) <= MOST_FILES, "make a package of what belongs together"


def test_core_itself_has_few_modules_beside_its_packages():
    assert len(modules(SOURCES / "core")) <= MOST_IN_CORE


def test_no_two_public_classes_of_core_share_a_name():
    where = defaultdict(list)
    for path in sorted((SOURCES / "core").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(str(path.relative_to(SOURCES)))
    assert where, "the folder was not found"
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}
