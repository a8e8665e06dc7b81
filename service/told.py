"""How a command ends where it cannot go on."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from service.errors import UnsureError


@contextmanager
def told() -> Iterator[None]:
    """End with one sentence where an error is ours."""
    try:
        yield
    except UnsureError as cause:
        raise click.ClickException(str(cause)) from cause
