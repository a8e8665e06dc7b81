"""Archives of labelled rows that are damaged are refused in a sentence."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from damaged_archives import WRITERS

from service.calibration.data import read_labelled
from service.errors import CalibrationError


@pytest.mark.parametrize("write", WRITERS)
def test_a_damaged_archive_is_refused(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "rows.npz"
    write(path)
    with pytest.raises(CalibrationError, match=r"rows\.npz cannot be read"):
        read_labelled(path, Mock())
