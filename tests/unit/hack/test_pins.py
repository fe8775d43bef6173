"""What is not named by digest is found, wherever it is written."""

import pytest

from hack import pins

DIGEST = f"sha256:{'a' * 64}"
COMMIT = "b" * 40


@pytest.mark.parametrize(
    ("workflow", "found"),
    [
        pytest.param(f"      - uses: actions/checkout@{COMMIT}  # v5", [], id="a commit"),
        pytest.param("      - uses: actions/checkout@v5", ["actions/checkout@v5"], id="a tag"),
        pytest.param('        uses: "a/b/c@main"', ["a/b/c@main"], id="a branch, in quotes"),
        pytest.param(f"  - uses: a/b@{COMMIT[:7]}", [f"a/b@{COMMIT[:7]}"], id="a short commit"),
        pytest.param("  - uses: ./.github/actions/ours", [], id="one of ours"),
        pytest.param(f"  - uses: docker://a/b@{DIGEST}", [], id="an image by digest"),
        pytest.param("  - uses: docker://a/b:1", ["docker://a/b:1"], id="an image by tag"),
        pytest.param("  - run: make  # uses: nothing", [], id="a comment"),
    ],
)
def test_actions(workflow, found):
    assert list(pins.unpinned_actions(workflow)) == found


@pytest.mark.parametrize(
    ("dockerfile", "found"),
    [
        pytest.param(f"FROM a/b:1@{DIGEST}", [], id="a digest beside the tag"),
        pytest.param("FROM a/b:1", ["a/b:1"], id="a tag"),
        pytest.param("FROM --platform=linux/amd64 a/b:1 AS c", ["a/b:1"], id="a platform"),
        pytest.param(f"FROM a@{DIGEST} AS b\nFROM b", [], id="a stage of the same file"),
        pytest.param("ARG BASE=a/b:1\nFROM ${BASE}", ["a/b:1"], id="a default by tag"),
        pytest.param(f"ARG BASE=a/b@{DIGEST}\nFROM ${{BASE}} AS c", [], id="a default by digest"),
        pytest.param("ARG ROOTFS\nFROM ${ROOTFS}", [], id="whatever the builder is told"),
        pytest.param("FROM scratch", [], id="nothing"),
    ],
)
def test_bases(dockerfile, found):
    assert list(pins.unpinned_bases(dockerfile)) == found


def test_everything_of_the_repository_is_named_by_digest():
    assert pins.faults() == []


def test_a_tag_in_a_repository_is_told_with_its_file(tmp_path):
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "test.yaml").write_text("- uses: a/b@v1\n")
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "Dockerfile").write_text("FROM a/b:1\n")
    assert pins.faults(tmp_path) == [
        ".github/workflows/test.yaml: a/b@v1 is named by no digest",
        "operator/Dockerfile: a/b:1 is named by no digest",
    ]
