"""Files that others wrote: opened only where they are files, and read only as far as they may be long."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MOST_BYTES = 64 * 2**20
"""Of a file that people or programs write to be read whole: a manifest, a calibration, a configuration."""


def open_file(path: Path) -> BufferedReader:
    """Open a regular file to read it; a pipe, a device or a socket is never waited for.

    Raises:
        OSError: it cannot be opened, or is something else than a file.
    """
    # Without O_NONBLOCK to open a pipe is to wait for somebody who writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Read a regular file whole.

    Raises:
        OSError: it cannot be read, is no file, or has more than so many bytes.
    """
    with open_file(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than the {most_bytes} bytes that are read of it", str(path))
    return content
