"""Build images, unless nothing they are made of has changed since the last time."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from hack.images import cache
from hack.images.recipes import GROUPS, RECIPES, ModelImage, Recipe
from hack.images.wheels import REPOSITORY

ARCHIVES = REPOSITORY / "build" / "images"
ARCHIVE = "image.tar"
KEPT = 3  # builds of one image kept in the cache


def build(*names: str) -> dict[str, Path]:
    """Build the images named (or grouped) and return the archive of each, by image name."""
    wanted = [image for name in names or ("all",) for image in GROUPS.get(name, (name,))]
    return {name: _archive(RECIPES[name]) for name in dict.fromkeys(wanted)}


def _archive(recipe: Recipe) -> Path:
    """Return the image's archive under build/images, from the cache or newly built."""
    key = f"{recipe.name}-{recipe.digest()}"
    known = (cache.cache_root() / "images" / key).is_dir()
    cached = cache.entry("images", key, lambda folder: _build(recipe, folder))
    _forget_older(recipe.name, keep=key)
    archive = ARCHIVES / f"{recipe.name}.tar"
    _link(cached / ARCHIVE, archive)
    if known:
        print(f"{recipe.name}: unchanged, {archive.relative_to(REPOSITORY)}", flush=True)
    return archive


def _build(recipe: Recipe, folder: Path) -> None:
    from hack.cluster import engine as engines  # noqa: PLC0415  which itself uses our cache

    started = time.monotonic()
    engine = engines.ensure()
    print(f"{recipe.name}: building {recipe.tag}", flush=True)
    with tempfile.TemporaryDirectory(prefix="context-", dir=folder) as context:
        dockerfile = recipe.fill(Path(context))
        _open_to_all(Path(context))
        arguments = {} if isinstance(recipe, ModelImage) else engine.base_args()
        engine.build(Path(context), dockerfile, recipe.tag, arguments)
    engine.save(recipe.tag, folder / ARCHIVE)
    size = (folder / ARCHIVE).stat().st_size / 1e6
    print(f"{recipe.name}: {size:.0f} MB in {time.monotonic() - started:.0f} s", flush=True)


def _open_to_all(folder: Path) -> None:
    """Let any user read what is copied into an image, whatever the umask here is."""
    for path in folder.rglob("*"):
        runs = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if runs else 0o644)


def _link(source: Path, target: Path) -> None:
    """Put `source` at `target` without a second copy where the file system allows it."""
    if target.exists() and target.samefile(source):
        return  # and renaming one name of a file to another would leave both
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.link(source, scratch)
    except OSError:
        shutil.copyfile(source, scratch)
    scratch.replace(target)


def _forget_older(name: str, keep: str) -> None:
    """Remove all but the newest builds of one image from the cache."""
    images = cache.cache_root() / "images"
    digest_length = len(cache.digest([]))
    builds = [p for p in images.glob(f"{name}-*") if len(p.name) == len(name) + 1 + digest_length]
    builds.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in builds[KEPT:]:
        if path.name != keep:
            shutil.rmtree(path, ignore_errors=True)
