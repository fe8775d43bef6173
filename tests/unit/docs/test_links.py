"""Links of Markdown files, as readers of the repository and of the site follow them."""

import re
import subprocess
from pathlib import Path

import pytest

from hack.docs import links

ROOT = Path(__file__).parents[3]
#: Our pages have hyphens in their names; those of other projects that are named here do not.
PAGE = re.compile(r"(?<![\w./-])docs/[a-z0-9/-]+\.md\b")


def tracked(*patterns):
    command = ["git", "ls-files", "-z", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [ROOT / path for path in listed.stdout.split("\0") if (ROOT / path).is_file()]


def write(folder, text, name="page.md"):
    page = folder / name
    page.write_text(text, encoding="utf-8")
    return page


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param("[a](other.md) ![b](other.md)", [], id="a file that is there"),
        pytest.param("[a](other.md#some-heading-it-is-1)", [], id="a heading, the second alike"),
        pytest.param("# Top `x`\n[a](#top-x)", [], id="a heading of the page itself"),
        pytest.param("[a](https://example.com/x.md)", [], id="elsewhere: nobody asks"),
        pytest.param("`[a](none.md)`", [], id="code is no link"),
        pytest.param("[a](n.md)", ["page.md: n.md: no such file"], id="a file that is missing"),
        pytest.param("[a](../out)", ["page.md: ../out: no such file"], id="out of the repository"),
        pytest.param(
            "[a](other.md#none)", ["page.md: other.md#none: no such heading"], id="no heading"
        ),
        pytest.param("|x|\n|-|\n|[a](no)|", ["page.md: no: no such file"], id="in a table"),
    ],
)
def test_links_that_lead_nowhere_are_told(tmp_path, text, faults):
    (tmp_path / "out").touch()
    root = tmp_path / "root"
    root.mkdir()
    write(root, "## Some *heading*, it is\n## Some heading it is\n", "other.md")

    assert list(links.broken(write(root, text), root)) == faults


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("- one\n- two\n", [], id="items of one paragraph"),
        pytest.param("- one\n\n  more\n\n- two\n", [], id="an empty line before the next"),
        pytest.param("- one\n\n  more\n- two\n", [4], id="none"),
        pytest.param("1. one\n   ```\n\n   ```\n2. two\n", [5], id="none after a block of code"),
        pytest.param("- one\n\n  more\n\ntext\n", [], id="text after the list"),
    ],
)
def test_items_that_the_site_would_swallow_are_told(tmp_path, text, lines):
    assert list(links.merged_items(write(tmp_path, text))) == lines


def test_every_link_of_every_page_leads_somewhere():
    assert [fault for page in tracked("*.md") for fault in links.broken(page, ROOT)] == []


def test_no_item_of_a_list_is_swallowed_in_the_site():
    found = [(page, line) for page in tracked("docs/*.md") for line in links.merged_items(page)]

    assert not found


def test_pages_that_code_manifests_and_help_texts_name_exist():
    command = [
        "git",
        "grep",
        "--no-color",
        "--fixed-strings",
        "-Ih",
        "docs/",
        "--",
        ":!tests/unit/docs",
    ]
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    named = set(PAGE.findall(found.stdout))

    assert len(named) > 20
    assert sorted(page for page in named if not (ROOT / page).is_file()) == []
