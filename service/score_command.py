"""`unsure score`: a file of rows from the command line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from service.options import LOADING, AnyFinite, logged, of_images, told, with_settings
from service.settings import Settings

if TYPE_CHECKING:
    from service.scoring.asked import Asked
    from service.scoring.run import Engine
    from service.uncertainty.sequential import Rounds


class Samples(click.ParamType[Any]):
    """A number of samples, from how many to how many, or exact."""

    name = "samples"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        if value == "exact":
            return value
        first, dots, last = str(value).partition("..")
        if not first.isdecimal() or last.isdecimal() != bool(dots):
            self.fail(f"{value} is no number such as 50, no range such as 16..400, and not exact", param, ctx)
        return _rounds(int(first), int(last)) if last else int(first)


def _rounds(minimum: int, maximum: int) -> "Rounds":
    from service.uncertainty.sequential import DEFAULT_ERROR, Rounds

    return Rounds(minimum, maximum, DEFAULT_ERROR)


@click.command(epilog="Example: unsure score digits --input rows.parquet --output scored.parquet --keep id")
@click.argument("model")
@click.option("--version", type=click.IntRange(1), help="Which version; the highest if left out.")
@click.option(
    "--input",
    type=click.Path(path_type=Path),
    required=True,
    help="Rows: .parquet, .csv, .npz or .jsonl, or .txt with a text a line; or a folder: of parts of one of "
    "these, of images, or of .txt with a text each; in the order of their names.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Parquet file to write; it must not be there.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="A column that is no input, and is carried through; give it once for each. Left out: all columns "
    "that are no inputs.",
)
@click.option("--samples", type=Samples(), help="As of a request: 50, 16..400 or exact.")
@click.option("--seed", type=click.IntRange(0), help="As of a request.")
@click.option("--threshold", type=AnyFinite(), help="As of a request: nobody has certified it.")
@click.option("--skip-bad", is_flag=True, help="Where a row cannot be scored, write why, in a column error.")
@click.option("--restart", is_flag=True, help="Throw away what an unfinished run to this output has done.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where rows are scored: in this process, or by Ray Data, on the cluster that RAY_ADDRESS names or "
    "else on all processors of this machine.",
)
@of_images
@with_settings(*LOADING)
def score(engine: str, resize: bool, span: tuple[float, float] | None, **given: Any) -> None:
    """Score all rows of a file, as the server would.

    MODEL is the name of a folder of the repository. Rows are read, scored and written some at a time. A run
    that was killed goes on when the same command is given again; the output is put in its place whole.
    """
    _check_pyarrow()
    from service.data.images import Images  # torch takes seconds: --help must not wait for it
    from service.sampling.memory import keep_freed_memory
    from service.scoring.asked import Asked
    from service.scoring.run import score as scored
    from service.scoring.told import told_of

    keep_freed_memory()
    settings = logged(Settings(**{name: given.pop(name) for name in LOADING}))
    with told(), _stopped(given["output"]):
        asked = Asked(**given, images=Images(resize, span))
        text, where = told_of(scored(settings, asked, _watched, _engine(engine, settings, asked)))
    click.echo(text)
    click.echo(where, err=True)


def _engine(name: str, settings: Settings, asked: "Asked") -> "Engine":
    if name == "ray":
        from service.scoring.on_ray import on_ray

        return on_ray(settings, asked)
    from service.scoring.run import here

    return here


def _check_pyarrow() -> None:
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise click.ClickException("writing Parquet needs pyarrow: pip install 'unsure[parquet]'")


@contextmanager
def _stopped(output: Path) -> Iterator[None]:
    """Say, where somebody interrupts, what becomes of what is done."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nStopped. The same command goes on; {output} is not there before its end.", err=True)
        sys.exit(130)


@contextmanager
def _watched(label: str, rows: int | None, done: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left on a terminal, and nothing where nobody watches."""
    if not sys.stderr.isatty() or rows is None:
        yield lambda _: None
        return
    begin = monotonic()
    with click.progressbar(
        length=rows,
        label=label,
        file=sys.stderr,
        show_pos=True,
        item_show_func=lambda now: None if now is None else f"{now:,.0f} rows/s",
    ) as bar:
        bar.update(done)
        scored = 0

        def advance(more: int) -> None:
            nonlocal scored
            scored += more
            bar.update(more, scored / max(1e-9, monotonic() - begin))

        yield advance
