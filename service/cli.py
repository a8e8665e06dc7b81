"""The command `unsure`. Data goes to stdout, logs to stderr."""

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from service import __version__
from service.access.issue import issue, listed
from service.access.keys import SCOPES, Scope
from service.addition.options import addition_options
from service.bench_command import bench
from service.options import Finite, logged, of_images, told, with_settings
from service.review_command import reviews
from service.score_command import score
from service.settings import Settings

_LOADING = ("repository", "factories", "device", "plan", "precision", "log_level")
"""The settings of what loads a model."""
_COMMANDS = "unsure.commands"  # the entry-point group by which other packages add commands


class Commands(click.Group):
    """The commands here, and those that installed packages add; one is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands."""
        return sorted({*super().list_commands(ctx), *(found.name for found in entry_points(group=_COMMANDS))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command."""
        for found in entry_points(group=_COMMANDS, name=cmd_name):
            command: click.Command = found.load()
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="unsure")
def main() -> None:
    """The inference server that knows when its models don't know."""


@main.command(epilog="Example: unsure serve --repository model_repository --port 9000")
@with_settings()
def serve(**given: Any) -> None:
    """Serve the models of a repository by REST.

    Every option can also be set by its environment variable; an option wins.
    """
    from service import server  # torch takes seconds to import, and --help must not wait for it

    settings = logged(Settings(**given))
    with told():
        server.serve(settings)


@main.command(epilog="Example: unsure inspect digits --repository model_repository")
@click.argument("model")
@click.option("--version", type=click.IntRange(1), help="Which version; the highest if left out.")
@click.option("--json", "json_", is_flag=True, help="Print what GET /v1/models/MODEL/dropout answers.")
@with_settings(*_LOADING)
def inspect(model: str, version: int | None, json_: bool, **given: Any) -> None:
    """Report the dropout of a model, and how its samples run.

    MODEL is the name of a folder of the repository. The model is loaded and checked just as the server does.
    """
    from service import inspection  # as above

    settings = logged(Settings(**given))
    with told():
        served = inspection.load(settings, model, version)
        click.echo(inspection.as_json(served) if json_ else inspection.as_text(served))


@main.command(
    epilog="Example: unsure add iris --factory my_package.networks:build --arguments '{\"hidden\": 64}' "
    "--weights iris.safetensors --input flower:float32:4 --task classification --labels a,b,c"
)
@click.argument("name")
@addition_options
@with_settings(*_LOADING)
def add(name: str, **given: Any) -> None:
    """Add a version of a model to the repository.

    NAME is the model's. It is copied, loaded and checked as the server does, its plans are measured, its
    dropout is reported, and a row is tried; only then it is there. A version is never overwritten. Of a model
    that is there, the next version takes --weights or --huggingface alone: model.toml says the rest.
    """
    from service import app, inspection  # as above
    from service.addition.staging import added
    from service.addition.trial import tried
    from service.addition.wanted import wanted

    settings = logged(Settings(**{setting: given.pop(setting) for setting in _LOADING}))
    sample = given.pop("sample")
    with (
        told(),
        added(
            settings.repository, wanted(name, **given), settings.allowed_factories, app.execution(settings)
        ) as model,
    ):
        click.echo(inspection.as_text(model))
        click.echo(f"\n{tried(model, sample)}")
    click.echo(
        f"Added {name}, version {model.identity.version}, to {settings.repository}. A server that runs "
        f"serves it after POST /v2/repository/models/{name}/load.",
        err=True,
    )


@main.command(
    epilog="Example: unsure calibrate digits --data heldout.npz --target-error 0.02 --confidence 0.95"
)
@click.argument("model")
@click.option("--version", type=click.IntRange(1), help="Which version; the highest if left out.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Labelled rows that the model has not seen: .npz, .csv, .parquet or .jsonl, or a folder that has a "
    "folder of images or texts for each label. Left out: those that `unsure train` has kept.",
)
@click.option(
    "--from-reviews",
    is_flag=True,
    help="Take the audit rows of the review queue that are resolved. The threshold that serves is kept, "
    "or made stricter.",
)
@click.option(
    "--target-error",
    type=Finite(0, 1, min_open=True, max_open=True),
    default=0.02,
    show_default=True,
    help="Share of rows that may be wrong.",
)
@click.option(
    "--confidence",
    type=Finite(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of the promise, for selective_risk.",
)
@click.option(
    "--contract",
    type=click.Choice(["selective_risk", "joint_risk"]),
    default="selective_risk",
    show_default=True,
    help="What is promised: few errors among the rows that are not flagged, or, on average, few rows of all "
    "that are wrong and not flagged.",
)
@click.option(
    "--tolerance",
    type=Finite(0, min_open=True),
    help="For values: how far off is wrong, in their unit.",
)
@click.option(
    "--temperature",
    is_flag=True,
    help="Scale the probabilities of samples: one number for all, fitted to the rows that choose the score.",
)
@click.option("--measure", help="The score; left out, the best of all on some of the rows.")
@click.option(
    "--samples",
    type=click.IntRange(2),
    help="Of each row; left out, as many as a request gets that does not say. The promise is about requests "
    "that get as many.",
)
@of_images
@with_settings("repository", "factories", "device", "plan", "precision", "review_url", "log_level")
def calibrate(
    model: str,
    version: int | None,
    data: Path | None,
    from_reviews: bool,
    target_error: float,
    confidence: float,
    contract: Any,
    tolerance: float | None,
    measure: str | None,
    temperature: bool,
    samples: int | None,
    resize: bool,
    span: tuple[float, float] | None,
    **given: Any,
) -> None:
    """Find a threshold that keeps a promise, on labelled rows.

    MODEL is the name of a folder of the repository. Writes calibration.json beside the weights, and a report
    to look at; a server takes the calibration with its next start, or when the model is loaded anew.
    """
    if from_reviews and data is not None:
        raise click.UsageError("--from-reviews takes the rows of the review queue: leave out --data")
    from service.calibration.calibrating import Asked  # as above
    from service.calibration.from_reviews import calibrate_from_reviews
    from service.calibration.report import write_report
    from service.calibration.run import Wish
    from service.calibration.run import calibrate as calibrated
    from service.calibration.words import made_in_words
    from service.data.images import Images

    settings = logged(Settings(**given))
    asked = Asked(contract, target_error, confidence, measure, temperature=temperature)
    with told():
        wish = Wish(model, version, data, asked, tolerance, samples, Images(resize, span))
        made = (calibrate_from_reviews if from_reviews else calibrated)(settings, wish, _watched)
        report = write_report(made)
    click.echo(made_in_words(made))
    click.echo(f"Written to {made.path}, and a report to look at to {report}.", err=True)


def _watched(parts: Iterable[Any], most: int) -> Iterator[Any]:
    """Show a bar on a terminal, and nothing where nobody watches."""
    with click.progressbar(
        parts, length=most, label="sampling", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        yield from bar


@main.group(epilog="Example: unsure keys create radiology --scope predict --scope review")
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
    """Make a key and print it: this once, since the file keeps its hash alone.

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


main.add_command(bench)
main.add_command(reviews)
main.add_command(score)
