"""What `--help` of every command says, as Markdown."""

import inspect
from collections.abc import Iterator

import click
from markdown_tables import table

from service.cli import main


def commands() -> Iterator[str]:
    """Write every command, and below a group its own."""
    context = click.Context(main, info_name="unsure")
    for name, command, inside in _found(main, context):
        yield f"## {name}\n"
        yield from _described(command, inside)


def _found(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        inside = click.Context(command, info_name=name, parent=context)
        yield inside.command_path, command, inside
        if isinstance(command, click.Group):
            yield from _found(command, inside)


def _described(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    rows = [row for row in (_row(one, context) for one in command.params) if row is not None]
    if rows:
        yield "\n".join([*table(("option", "meaning"), rows), ""])
    if command.epilog:
        yield f"```sh\n{command.epilog.removeprefix('Example: ')}\n```\n"


def _row(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    """Give an option's line; None for an argument, which the text explains."""
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return None
    extra = parameter.get_help_extra(context)
    choices = (
        f" One of {', '.join(parameter.type.choices)}." if isinstance(parameter.type, click.Choice) else ""
    )
    variable = "".join(f" Variable: `{name}`." for name in extra.get("envvars", ()))
    default = f" Default: `{extra['default']}`." if "default" in extra else ""
    needed = " Required." if parameter.required else ""
    names = " ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return names, f"{parameter.help or ''}{choices}{needed}{default}{variable}".strip()
