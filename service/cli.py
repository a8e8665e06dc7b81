"""The command `unsure`. Data goes to stdout, logs to stderr."""

from importlib.metadata import entry_points
from typing import Any

import click

from service import __version__
from service.addition.options import addition_options
from service.bench_command import bench
from service.calibrate_command import calibrate
from service.keys_command import keys
from service.options import LOADING, Once, logged, told, with_settings
from service.review_command import reviews
from service.score_command import score
from service.settings import Settings

_COMMANDS = "unsure.commands"  # the entry-point group by which other packages add commands


class Commands(Once):
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
@with_settings(*LOADING)
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
@with_settings(*LOADING)
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

    settings = logged(Settings(**{setting: given.pop(setting) for setting in LOADING}))
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


main.add_command(bench)
main.add_command(calibrate)
main.add_command(keys)
main.add_command(reviews)
main.add_command(score)
