"""What the site holds: every page in its contents, and every file that pages link to."""

from pathlib import Path

import pytest
import yaml

from hack.docs import carried, links, nav

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
PAGES = list(nav.pages(nav.expand(SITE["nav"], DOCS)))


def test_every_page_is_in_the_contents_once():
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    own = [page for page in PAGES if not page.startswith(f"{carried.FOLDER}/")]

    assert sorted(own) == sorted(written)


def test_what_pages_link_to_outside_is_carried_along_and_nothing_else():
    pages = [*DOCS.rglob("*.md"), *(ROOT / path for path in SITE["extra"]["carried"])]
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in pages
        if page.suffix == ".md"
        for target in links.targets(page)
        if "://" not in target
    }
    outside = {path for path in linked if path.is_file() and DOCS not in path.parents}
    prefix = f"{carried.FOLDER}/"
    shown = {page.removeprefix(prefix) for page in PAGES if page.startswith(prefix)}

    assert set(SITE["extra"]["carried"]) == shown | {
        path.relative_to(ROOT).as_posix() for path in outside
    }


@pytest.mark.parametrize(
    ("given", "expanded"),
    [
        pytest.param(["a.md"], ["a.md"], id="a page stays"),
        pytest.param([{"Title": "a.md"}], [{"Title": "a.md"}], id="with its title"),
        pytest.param(["sub/"], ["sub/README.md", "sub/b.md"], id="a folder: its own page first"),
        pytest.param(
            [{"T": "sub/"}], [{"T": ["sub/README.md", "sub/b.md"]}], id="a folder with a title"
        ),
        pytest.param(
            [{"T": ["a.md", {"U": "sub/"}]}],
            [{"T": ["a.md", {"U": ["sub/README.md", "sub/b.md"]}]}],
            id="a folder further down",
        ),
    ],
)
def test_a_folder_in_the_contents_stands_for_its_pages(tmp_path, given, expanded):
    (tmp_path / "sub").mkdir()
    for name in ("a.md", "sub/b.md", "sub/README.md"):
        (tmp_path / name).touch()

    assert nav.expand(given, tmp_path) == expanded


def test_a_folder_without_pages_is_refused_by_its_name(tmp_path):
    with pytest.raises(ValueError, match="none/ holds no page"):
        nav.expand([{"T": "none/"}], tmp_path)


@pytest.mark.parametrize(
    ("page", "text", "in_the_site"),
    [
        pytest.param("docs/a.md", "[x](../B.md#h)", "[x](repository/B.md#h)", id="from a page"),
        pytest.param(
            "docs/sub/a.md", "[x](../../B.md)", "[x](../repository/B.md)", id="from a folder"
        ),
        pytest.param("B.md", "[x](docs/a.md)", "[x](../a.md)", id="back to a page"),
        pytest.param("B.md", "![x](docs/p.svg)", "![x](../p.svg)", id="a picture"),
        pytest.param("docs/a.md", "[x](b.md)", "[x](b.md)", id="between pages nothing changes"),
        pytest.param("docs/a.md", "[x](#h)", "[x](#h)", id="nor within one"),
        pytest.param("docs/a.md", "[x](https://e.org/B.md)", "[x](https://e.org/B.md)", id="URL"),
        pytest.param("docs/a.md", "[x](../C.md)", "[x](../C.md)", id="what is not carried stays"),
    ],
)
def test_links_to_and_from_carried_files_lead_to_where_they_are(page, text, in_the_site):
    assert carried.rewrite(text, page, {"B.md"}) == in_the_site
