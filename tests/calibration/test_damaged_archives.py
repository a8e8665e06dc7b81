"""Archives of labelled rows that are damaged are refused in a sentence."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock
from zipfile import ZipFile

import numpy as np
import pytest

from service.calibration.data import read_labelled
from service.errors import CalibrationError


def _array_alone(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(5))


def _unknown_compression(path: Path) -> None:
    with ZipFile(path, "w") as archive:
        archive.writestr("targets.npy", b"0")
    data = bytearray(path.read_bytes())
    data[8] = data[data.find(b"PK\x01\x02") + 10] = 99
    path.write_bytes(data)


def _damaged_header(path: Path) -> None:
    with ZipFile(path, "w") as archive:
        archive.writestr("targets.npy", b"\x93NUMPY\x01\x00\x08\x00{'descr'")


def _endless_array(path: Path) -> None:
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,)}\n"
    with ZipFile(path, "w") as archive:
        archive.writestr("targets.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)


@pytest.mark.parametrize("write", [_array_alone, _unknown_compression, _damaged_header, _endless_array])
def test_a_damaged_archive_is_refused(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "rows.npz"
    write(path)
    with pytest.raises(CalibrationError, match=r"rows\.npz cannot be read"):
        read_labelled(path, Mock())
