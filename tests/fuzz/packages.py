"""What fetching reads of strangers: archives, and the last words of a container."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from ferryman.api.base import printable
from ferryman.core.fetching.report import (
    Fetched,
    FetchReport,
    Problem,
    encode_report,
    explained,
    read_report,
)
from ferryman.core.pods.diagnosis import diagnose, fetched
from ferryman.fetch import archives
from ferryman.fetch.folder import Folder
from ferryman.fetch.problem import FetchError

#: By the first byte of an input.
_NAMES = (("m.tar", "tar"), ("m.zip", "zip"), ("m.tar.gz", "tar"), ("m.tar.xz", "tar"))
_MOST_BYTES, _MOST_FILES = 1 << 16, 20
REPORT_WORDS = ("fetched", "problem", "detail", "into", "digest", "revision", *Problem)
_FOLDER = "/model"


def archive(data: bytes) -> None:
    """Unpack an archive, or refuse it with words; whatever it is, nothing lies elsewhere."""
    name, kind = _NAMES[(data[0] if data else 0) % len(_NAMES)]
    with TemporaryDirectory() as place:
        root, packed = Path(place, "model"), Path(place, "archive")
        root.mkdir()
        packed.write_bytes(data[1:])
        folder = Folder(root, _MOST_BYTES, _MOST_FILES)
        try:
            archives.unpack(packed, name, kind, folder)
            archives.raise_top(root)
        except FetchError as refused:
            words = str(refused)
        except OSError as refused:
            words = refused.strerror
        else:
            words = "unpacked"
        assert words
        assert {path.name for path in Path(place).iterdir()} == {"model", "archive"}
        found = list(root.rglob("*"))
        assert not any(path.is_symlink() for path in found)
        assert all(path.is_dir() or path.is_file() for path in found)
        files = [path for path in found if path.is_file()]
        assert len(files) <= _MOST_FILES + 1
        assert sum(path.stat().st_size for path in files) <= _MOST_BYTES + (1 << 20)


def archive_seeds() -> tuple[bytes, ...]:
    """Return small archives of each kind, with what is refused among them."""
    files = {"m/1/model.onnx": b"weights", "m/labels.txt": b"cat\n"}
    found = [b"\0" + _tar(files), b"\0" + _tar({"1/" + "x" * 120: b"long"})]
    found += [b"\0" + _tar({"../x": b"x"}), b"\0" + _tar({}, link="/etc")]
    found += [b"\1" + _zip(files, how) for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]
    found += [b"\2" + _tar(files, "w:gz"), b"\3" + _tar(files, "w:xz")]
    return (*found, b"")


def fetch_report(data: bytes) -> None:
    """Read what a container said when it ended, up to the condition."""
    message = data.decode(errors="replace")
    report = read_report(message)
    end = {"exitCode": 1, "message": message}
    status = {"name": "fetch", "lastState": {"terminated": end}, "state": {"waiting": {}}}
    pod = {"metadata": {"name": "p"}, "status": {"initContainerStatuses": [status]}}
    reason, words = diagnose([pod], None)
    assert reason
    assert words
    end["exitCode"] = 0
    assert all(each.into == _FOLDER for each in fetched([pod], _FOLDER))
    if report is None:
        return
    if report.problem is not None:
        said = explained(report.problem, report.detail)[1]
        assert printable(said) == said
    again = read_report(encode_report(report))
    assert again is None or (again.fetched, again.problem) == (report.fetched, report.problem)


def report_seeds() -> tuple[bytes, ...]:
    """Return reports as the container writes them."""
    one = Fetched(_FOLDER, f"sha256:{'a' * 64}", "c0ffee")
    reports = (
        FetchReport((one, Fetched("/model/b", one.digest))),
        FetchReport(problem=Problem.MISMATCH, detail="another \x1b digest"),
        FetchReport(),
    )
    return (*(encode_report(report).encode() for report in reports), b"Traceback: bug", b"")


def _tar(files: dict[str, bytes], mode: str = "w:", link: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    content = packed.getvalue()
    # What ends a tar is two empty blocks, and not twenty.
    return content if mode != "w:" else content.rstrip(b"\0") + bytes(1536)


def _zip(files: dict[str, bytes], how: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()
