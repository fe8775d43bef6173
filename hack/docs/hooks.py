"""What MkDocs calls while it builds the site (``hooks`` of mkdocs.yml)."""

from pathlib import Path
from typing import Any, Final

from markdown import Markdown
from markdown.extensions import Extension
from mkdocs.structure.files import File

from hack.docs import carried, nav

ROOT: Final = Path(__file__).parents[2]


class _Indentation(Extension):  # type: ignore[misc]  # Markdown ships no type information
    """Take two columns for the indentation of what belongs to a list's item, as GitHub does."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802  the name is Markdown's
        md.tab_length = 2
        md.build_parser()  # it was built for another length; so this extension comes first


def on_config(config: Any) -> Any:  # noqa: ANN401  MkDocs ships no type information
    """Complete the contents by the pages of folders."""
    config["nav"] = nav.expand(config["nav"], Path(config["docs_dir"]))
    config["markdown_extensions"].insert(0, _Indentation())
    return config


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401
    """Add the files that are carried along."""
    for path in config["extra"]["carried"]:
        uri = f"{carried.FOLDER}/{path}"
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:  # noqa: ANN401
    """Lead links to and from carried files to where they are in the site."""
    uri: str = page.file.src_uri
    inside = uri.removeprefix(f"{carried.FOLDER}/")
    path = inside if inside != uri else f"docs/{uri}"
    return carried.rewrite(markdown, path, config["extra"]["carried"])
