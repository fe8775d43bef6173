"""Compile Triton's libraries of livecap/, the live cap and the drain, for tests and images.

    python -m hack.livecap FOLDER     # writes FOLDER/batchstrategy.so and FOLDER/drain.so

The same compiler makes the same bytes from the same source, wherever the work tree lies.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "livecap"
LIBRARY = "batchstrategy.so"  # the name under which Triton looks for it in a model's folder
DRAIN = "drain.so"  # preloaded into tritonserver
COMPILE_TIMEOUT_S = 120

WARNINGS = (
    *("-std=gnu11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-Wshadow"),
    *("-Wstrict-prototypes", "-Wvla", "-Wformat=2"),
)
#: Some distributions' compilers define _FORTIFY_SOURCE already, as another number.
HARDENING = (
    *("-fstack-protector-strong", "-fstack-clash-protection"),
    *("-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"),
    *("-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"),
)
#: `nodelete`: Triton may close the library while its scheduler thread is still inside it.
SHARED = ("-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,nodelete")
REPRODUCIBLE = ("-ffile-prefix-map=.=livecap", "-fno-ident", "-s")


def compiler() -> Path | None:
    """Return the C compiler of this machine, or None."""
    found = shutil.which("gcc") or shutil.which("cc")
    return Path(found) if found else None


def build(folder: Path) -> Path:
    """Compile the live cap into `folder` and return its path.

    Raises RuntimeError where there is no compiler, or with what the compiler said.
    """
    return _build_shared(folder, "livecap.c", LIBRARY)


def build_drain(folder: Path) -> Path:
    """Compile the drain into `folder` and return its path; raises as `build` does."""
    return _build_shared(folder, "drain.c", DRAIN)


def _build_shared(folder: Path, source: str, name: str) -> Path:
    target = folder.resolve() / name
    folder.mkdir(parents=True, exist_ok=True)
    _compile("-O2", *HARDENING, *SHARED, f"-Wl,-soname,{name}", *REPRODUCIBLE, source, "-o", target)
    return target


def build_harness(folder: Path, sanitizer: str) -> Path:
    """Compile the program that drives the library as Triton does, under a sanitizer of gcc's."""
    target = folder.resolve() / f"harness-{sanitizer.replace(',', '-')}"
    options = ("-O1", "-g", "-fno-omit-frame-pointer", f"-fsanitize={sanitizer}")
    _compile(
        *options, "-fno-sanitize-recover=all", "-pthread", "livecap.c", "harness.c", "-o", target
    )
    return target


def build_drain_harness(folder: Path, source: str | None = None) -> Path:
    """Compile the program that drives the drain as libevent does, under sanitizers of gcc's.

    `source` stands in for drain.c: a test breaks it on purpose.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "drain.c").write_text(source or (SOURCES / "drain.c").read_text())
    harness = folder.resolve() / "drain_harness.c"
    harness.write_text((SOURCES / "drain_harness.c").read_text())
    options = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined")
    target = folder.resolve() / "drain-harness"
    unused = ("-Wno-unused-function", "-Wno-unused-variable")  # in what was broken
    _compile(*options, "-fno-sanitize-recover=all", "-pthread", *unused, harness, "-o", target)
    return target


def version() -> str:
    """Return what the compiler calls itself, as the bytes of the library depend on it."""
    return _run(_required(), "--version").splitlines()[0]


def _compile(*arguments: str | Path) -> None:
    _run(_required(), *WARNINGS, *arguments)


def _required() -> Path:
    found = compiler()
    if found is None:
        raise RuntimeError("no C compiler: install gcc (Debian: gcc libc6-dev)")
    return found


def _run(*command: str | Path) -> str:
    """Run from the sources' folder, so that no path of this machine enters the result."""
    done = subprocess.run(
        command, cwd=SOURCES, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Compile both libraries into the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m hack.livecap", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(build(folder), build_drain(folder), sep="\n")


if __name__ == "__main__":
    main()
