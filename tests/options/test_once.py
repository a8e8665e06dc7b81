"""Options of all commands: none is passed over without a word."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from service.cli import main


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[list[str], click.Command]]:
    """Give every command, of whichever package, with the words that call it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            inner = click.Context(command, parent=context)
            yield from (([name, *words], found) for words, found in commands(command, inner))
        else:
            yield [name], command


COMMANDS = list(commands(main, click.Context(main)))
VALUES = [
    (words, option)
    for words, command in COMMANDS
    for option in command.params
    if isinstance(option, click.Option) and not option.is_flag and not option.multiple
]


def test_the_commands_of_all_packages_are_looked_at() -> None:
    assert {" ".join(words) for words, _ in COMMANDS} >= {
        "calibrate",
        "train",
        "reviews import",
        "keys create",
    }
    assert len(VALUES) > 100


@pytest.mark.parametrize("separate", [True, False])
def test_an_option_of_one_value_is_refused_when_it_stands_twice(separate: bool) -> None:
    for words, option in VALUES:
        name = option.opts[0]
        given = [name, "1", name, "2"] if separate else [f"{name}=1", f"{name}=1"]
        told = CliRunner().invoke(main, [*words, *given])
        assert told.exit_code == 2, (words, name, told.output)
        assert f"{name} is given 2 times, and one value would be passed over; give it once" in told.stderr
        assert f"Usage: main {' '.join(words)} " in told.stderr


def test_a_flag_says_the_same_twice_and_what_may_stand_often_does() -> None:
    told = CliRunner().invoke(main, ["calibrate", "x", "--repository", "/nowhere", *["--temperature"] * 2])
    assert "/nowhere cannot be read" in told.stderr
    told = CliRunner().invoke(main, ["train", "digits", "--ignore", "a", "--ignore", "b"])
    assert "--ignore and --text are for a file of yours" in told.stderr
    assert CliRunner().invoke(main, ["calibrate", "--help"]).exit_code == 0
