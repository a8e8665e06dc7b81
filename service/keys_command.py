"""`unsure keys`: the file of the keys that requests need."""

from datetime import datetime
from pathlib import Path

import click

from service.access.issue import issue, listed
from service.access.keys import SCOPES, Scope
from service.options import told


@click.group(epilog="Example: unsure keys create radiology --scope predict --scope review")
def keys() -> None:
    """Make keys for a server's clients.

    A server takes the keys of the file that UNSURE_API_KEYS_FILE names, and reads it again when it changes.
    To revoke a key, delete its entry from the file.
    """


_KEYS_FILE = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default="keys.toml",
    envvar="UNSURE_API_KEYS_FILE",
    show_default=True,
    show_envvar=True,
    help="File of the keys.",
)


@keys.command(epilog="Example: unsure keys create radiology --scope predict --scope review")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="What the key may; give it once for each. None includes another.",
)
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="First day, in UTC, on which the key is not taken any more.",
)
@_KEYS_FILE
def create(name: str, scopes: tuple[Scope, ...], expires: datetime | None, path: Path) -> None:
    """Make a key and print it, this once: the file keeps its hash.

    NAME says whose key it is.
    """
    with told():
        click.echo(issue(path, name, scopes, expires.date() if expires else None))
    click.echo(
        f"Added {name!r} to {path}. The key above is kept nowhere: hand it over now.\n"
        "It is sent as the header `Authorization: Bearer <key>`. "
        f"A server takes it that runs with --api-keys-file {path}.",
        err=True,
    )


@keys.command("list", epilog="Example: unsure keys list --file keys.toml")
@_KEYS_FILE
def list_keys(path: Path) -> None:
    """List the names of the keys, and what each may."""
    with told():
        for line in listed(path):
            click.echo(line)
