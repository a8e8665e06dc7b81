"""`unsure bench`: what a model's answers cost on this machine."""

from typing import Any

import click

from service.options import logged, told, watched, with_settings
from service.settings import Settings

_SETTINGS = (
    *("repository", "factories", "device", "plan", "precision", "compile_after_seconds", "threads"),
    "log_level",
)


class Rows(click.ParamType[tuple[int, ...]]):
    """Numbers of rows, with commas between."""

    name = "rows"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read them."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() and int(part) for part in parts):
            self.fail(f"{value} is no list of numbers such as 1,8,32", param, ctx)
        return tuple(map(int, parts))


@click.command(epilog="Example: unsure bench digits --rows 1,16 --samples 100")
@click.argument("model")
@click.option("--version", type=click.IntRange(1), help="Which version; the highest if left out.")
@click.option(
    "--rows", type=Rows(), default="1,8,32", show_default=True, help="Of a request: each is measured."
)
@click.option(
    "--samples",
    type=click.IntRange(2),
    help="Of each row; left out, as many as a request gets that does not say, at most.",
)
@click.option(
    "--length",
    type=click.IntRange(1),
    help="Of a dimension of a row that may have any: tokens of a text, steps of a sequence. Left out, 64, or "
    "as many as a text may have.",
)
@click.option("--json", "json_", is_flag=True, help="Print it for programs, in seconds.")
@with_settings(*_SETTINGS)
def bench(
    model: str,
    version: int | None,
    rows: tuple[int, ...],
    samples: int | None,
    length: int | None,
    json_: bool,
    **given: Any,
) -> None:
    """Measure what a model's answers cost on this machine.

    MODEL is the name of a folder of the repository. Its answers are timed as the server computes them, beside
    the usual loop of calls in training mode. Code is compiled first, which takes up to a minute for
    each number of rows; --compile-after-seconds 0 leaves it out.
    """
    # torch takes seconds to import, and --help must not wait for it
    from service.process import prepare_process, share_of_cores
    from service.speed.measuring import Wanted, measured
    from service.speed.telling import as_json, as_text

    settings = logged(Settings(**given))
    with told():
        prepare_process(settings.threads or share_of_cores(1))
        wanted = Wanted(model, version, rows, samples, length)
        found = measured(settings, wanted, watched("measuring"))
        click.echo(as_json(found) if json_ else as_text(found))
