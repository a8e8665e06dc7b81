"""Settings as options of commands, and what every command does with an error."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import click

from service.errors import UnsureError, in_full
from service.logs import start_logging
from service.settings import Setting, Settings, settings_table


def _option(setting: Setting) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        setting.option,
        setting.name,
        type=_type(setting),
        is_flag=setting.is_flag,
        default=setting.default,
        envvar=setting.variable,
        show_default=True,
        show_envvar=True,
        help=setting.described.text,
    )


LOADING = ("repository", "factories", "device", "plan", "precision", "log_level")
"""The settings of what loads a model."""


class Finite(click.FloatRange):
    """A number within bounds; NaN is within none, and would pass every comparison."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


class AnyFinite(click.ParamType[float]):
    """Any number but NaN and infinity; a range without ends would be shown in the help as x<=None."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number."""
        number: float = Finite().convert(value, param, ctx)
        return number


def _type(setting: Setting) -> click.ParamType[Any]:
    if setting.described.choices:
        return click.Choice(setting.described.choices, case_sensitive=False)
    if setting.is_flag:
        return click.BOOL
    if setting.kind is Path:
        return click.Path(path_type=Path)
    if setting.kind is int:
        return click.IntRange(_whole(setting.described.minimum), _whole(setting.described.maximum))
    if setting.kind is float:
        return Finite(setting.described.minimum, setting.described.maximum)
    return click.STRING


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each of these settings; for all, if none is named."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        for setting in reversed(settings_table()):
            if not names or setting.name in names:
                command = _option(setting)(command)
        return command

    return decorated


def logged(settings: Settings) -> Settings:
    """Start logging as the settings say."""
    start_logging(settings.log_level, settings.log_format)
    return settings


class Span(click.ParamType[Any]):
    """From one number to another, as 0..255."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read both."""
        first, _, last = str(value).partition("..")
        ends = (Finite().convert(first, param, ctx), Finite().convert(last, param, ctx))
        if ends[0] == ends[1]:
            self.fail(f"{value} is one number, and not two", param, ctx)
        return ends


def of_images(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how files of images become rows."""
    pixels = click.option(
        "--pixels",
        "span",
        type=Span(),
        metavar="LOWEST..HIGHEST",
        help="Of images: what 0 and 255 of a pixel are to the model. Left out: `range` of the input in "
        "model.toml.",
    )
    resize = click.option(
        "--resize",
        is_flag=True,
        help="Of images: stretch them to the model's height and width. Left out, others are refused.",
    )
    return resize(pixels(command))


class Once(click.Group):
    """A group of commands of which no option is passed over: one that takes one value stands once.

    Click takes the last of several without a word. A flag may be repeated: it says the same.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that arguments are for, wherever it comes from, and look at its options."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            _refuse_doubles(name or "", command, list(rest), ctx)
        return name, command, rest


def _refuse_doubles(name: str, command: click.Command, arguments: list[str], parent: click.Context) -> None:
    context = command.context_class(command, info_name=name, parent=parent)
    _, rest, order = command.make_parser(context).parse_args(list(arguments))
    given = Counter(option for option in order if isinstance(option, click.Option))
    for option, times in given.items():
        if times > 1 and not (option.multiple or option.is_flag or option.count):
            raise click.UsageError(
                f"{option.opts[0]} is given {times} times, and one value would be passed over; give it once",
                context,
            )
    if isinstance(command, click.Group) and rest:
        inner, found, behind = command.resolve_command(context, rest)
        if found is not None:
            _refuse_doubles(inner or "", found, behind, context)


@contextmanager
def told() -> Iterator[None]:
    """End with one sentence where an error is ours, or the system's about a file or folder that was named."""
    try:
        yield
    except UnsureError as cause:
        raise click.ClickException(in_full(cause)) from cause
    except OSError as cause:
        if cause.filename is None or cause.strerror is None:
            raise
        raise click.ClickException(f"{os.fsdecode(cause.filename)}: {cause.strerror}") from cause


def watched(label: str) -> Callable[[Iterable[Any], int], Iterator[Any]]:
    """Give what passes on so many parts, and shows a bar on a terminal; nothing where nobody watches."""

    def parts_of(parts: Iterable[Any], most: int) -> Iterator[Any]:
        hidden = not sys.stderr.isatty()
        with click.progressbar(parts, length=most, label=label, file=sys.stderr, hidden=hidden) as bar:
            yield from bar

    return parts_of
