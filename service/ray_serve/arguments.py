"""Settings as the arguments of an application, read as `unsure serve` reads its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from service.errors import StartError
from service.options import with_settings
from service.settings import NO_REVIEWS, Settings, settings_table

_RAYS = {"host", "port", "workers", "max_connections", "max_head_bytes", "head_seconds"}
"""Settings of what Ray does itself: it listens, and it has the processes."""

ARGUMENTS = tuple(setting.name for setting in settings_table() if setting.name not in _RAYS)
"""The settings that an application takes."""


@click.command(add_help_option=False)
@with_settings(*ARGUMENTS)
def _settings(**_given: Any) -> None:
    """Nothing."""


def settings_of(arguments: Mapping[str, Any]) -> Settings:
    """Read settings; what is not given comes from UNSURE_* of the environment, or is the default.

    Raises:
        StartError: one is unknown, wrong, or cannot be where there are several machines.
    """
    try:
        settings = Settings(**_settings.make_context("args", _options(arguments)).params)
    except click.ClickException as cause:
        raise StartError(f"args of the application: {cause.format_message()}") from cause
    _check(settings)
    keys = settings.api_keys_file
    # A replica's working folder is one of Ray's own.
    return replace(
        settings, repository=settings.repository.absolute(), api_keys_file=keys and keys.absolute()
    )


def _options(arguments: Mapping[str, Any]) -> list[str]:
    """Write arguments as a command's; None is for what is left out, and a list for what has commas."""
    options = list[str]()
    for name, value in arguments.items():
        if value is None or value is False:
            continue
        options.append("--" + name.replace("_", "-"))
        if value is not True:
            options.append(",".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
    return options


def _check(settings: Settings) -> None:
    if settings.api_keys_file is None and not settings.without_keys:
        raise StartError(
            "without keys, everybody who reaches Ray's proxies could load and unload models: name a file of "
            "keys with api_keys_file (`unsure keys create` makes one), or say without_keys: true if that is "
            "meant"
        )
    if settings.review_url != NO_REVIEWS and _is_file(settings.review_url):
        raise StartError(
            f"the review queue {settings.review_url} is a file of one machine, and replicas run on several: "
            f"name a PostgreSQL with review_url or UNSURE_REVIEW_URL, or say review_url: {NO_REVIEWS!r}"
        )


def _is_file(url: str) -> bool:
    try:
        return make_url(url).get_backend_name() == "sqlite"
    except ArgumentError:
        return False  # which the queue itself tells
