import io
import struct
import zipfile

import numpy as np
import pytest

from ferryman.cli.errors import InputError
from ferryman.cli.files import arrays
from ferryman.clients import load_inputs
from ferryman.clients.inference import Signature, Tensor

SIGNATURE = Signature((Tensor("x", "FP32", (-1, 4)),), (Tensor("y", "FP32", (-1, 2)),), None)


def archive(member, *, compression=zipfile.ZIP_STORED):
    """Return an .npz with one member of these bytes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as file:
        file.writestr("x.npy", member)
    return bytearray(written.getvalue())


def member(array):
    written = io.BytesIO()
    np.save(written, array)
    return written.getvalue()


def damaged():
    """Return an archive whose compressed bytes are others."""
    found = archive(member(np.ones((90, 4), np.float32)), compression=zipfile.ZIP_DEFLATED)
    found[60:90] = bytes(30)
    return found


def marked(offset_local, offset_central, value):
    """Return an archive with another value in both headers of its member."""
    found = archive(member(np.ones((9, 4), np.float32)))
    central = found.index(b"PK\x01\x02")
    struct.pack_into("<H", found, offset_local, value)
    struct.pack_into("<H", found, central + offset_central, value)
    return found


def huge():
    """Return an archive with the header of more numbers than any memory holds."""
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (8796093022208, 4), }"
    padded = header + " " * (118 - len(header) - 1) + "\n"
    return archive(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "it is no .npz file", id="nothing"),
        pytest.param(b"PK\x03\x04" + bytes(50), "it is no .npz file", id="the begin of one"),
        pytest.param(damaged(), "it is no .npz file", id="damaged"),
        pytest.param(marked(6, 8, 1), "it is no .npz file: .*encrypted", id="with a password"),
        pytest.param(marked(8, 10, 97), "it is no .npz file", id="an unknown compression"),
        pytest.param(huge(), "more than there is memory for", id="larger than the memory"),
    ],
)
def test_what_is_no_archive_of_arrays_is_told_with_the_file(tmp_path, content, words):
    path = tmp_path / "rows.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as refused:
        arrays.read(path, lambda file: load_inputs.read_rows(file, SIGNATURE))
    assert str(refused.value).startswith(str(path))


def test_a_folder_is_told_as_one(tmp_path):
    with pytest.raises(InputError, match="Is a directory"):
        arrays.read(tmp_path, lambda file: load_inputs.read_rows(file, SIGNATURE))
