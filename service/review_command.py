"""`unsure reviews`: the review queue from the command line, on its database, whether or not a server runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from service.options import told
from service.settings import NO_REVIEWS, settings_table

# What takes long to import waits until a command needs it, so that --help need not.
if TYPE_CHECKING:
    from service.review.items import Item
    from service.review.steps import Verdict
    from service.review.store import Store

_LIST_MOST = 1000

_SETTINGS = {setting.name: setting for setting in settings_table()}
_STATUS = click.Choice(["pending", "claimed", "resolved", "any"])


def _set(name: str, option: str, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    setting = _SETTINGS[name]
    return click.option(
        option,
        name,
        default=setting.default,
        envvar=setting.variable,
        show_default=True,
        show_envvar=True,
        help=setting.described.text,
        **more,
    )


_URL = _set("review_url", "--url")


@click.group(epilog="Example: unsure reviews list --url sqlite:///reviews.db")
def reviews() -> None:
    """Look at the review queue, and bring labels into it.

    It reads and writes the queue's database itself; the server may run, or not.
    """


@reviews.command("list", epilog="Example: unsure reviews list --status any --model digits --limit 5")
@click.option("--status", type=_STATUS, default="pending", show_default=True, help="Where items stand.")
@click.option("--model", help="Whose items.")
@click.option("--order", type=click.Choice(["uncertain", "oldest"]), default="uncertain", show_default=True)
@click.option("--limit", type=click.IntRange(1, _LIST_MOST), default=50, show_default=True)
@_URL
def list_items(status: str, model: str | None, order: Any, limit: int, review_url: str) -> None:
    """List items: identifier, status, model, score and prediction."""
    from service.review.paging import Filter

    with told(), _store(review_url) as store:
        for item in store.page(Filter(_status(status), model), order, limit).items:
            row = item.row
            answer = row.prediction.get("label", row.prediction.get("value"))
            said = f"{item.status(store.now):8}  {row.model}/{row.version}  {row.measure} {row.score:.4g}"
            click.echo(f"{item.id}  {said}  {answer}")


@reviews.command(epilog="Example: unsure reviews export --status resolved > labels.jsonl")
@click.option("--status", type=_STATUS, default="any", show_default=True, help="Where items stand.")
@click.option("--model", help="Whose items.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "label-studio"]),
    default="jsonl",
    show_default=True,
    help="An item a line, or an array of tasks that Label Studio imports.",
)
@_URL
def export(status: str, model: str | None, format_: str, review_url: str) -> None:
    """Print items, the oldest first, as the server exports them."""
    import msgspec

    from service.api.review_views import label_studio, review
    from service.review.listing import all_items
    from service.review.paging import Filter

    with told(), _store(review_url) as store:
        shown = (
            review(item, store.now, blind=False) for item in all_items(store, Filter(_status(status), model))
        )
        if format_ == "jsonl":
            for one in shown:
                click.echo(msgspec.json.encode(one))
            return
        before = "["
        for one in shown:
            click.echo(before.encode() + msgspec.json.encode(label_studio(one)), nl=False)
            before = ",\n"
        click.echo("[]" if before == "[" else "]")


@reviews.command("import", epilog="Example: unsure reviews import labels.jsonl --reviewer ann")
@click.argument("file", type=click.File("rb"))
@click.option("--reviewer", help="Whose word the lines are that do not say.")
@_set("repository", "--repository", type=click.Path(path_type=Path))
@_URL
def import_labels(file: BinaryIO, reviewer: str | None, repository: Path, review_url: str) -> None:
    """Resolve the items of a file of labels, all or none.

    FILE has a JSON object a line, as {"id": "…", "label": "benign"}; in regression a "value" in place of the
    label; "note" and "reviewer" may stand there too. A label is a name, never a class index; 3 is "3", and
    true is "true". Labels are checked against the models of the repository.
    """
    from service.review.labels import read_labels

    with told(), _store(review_url) as store:
        labels = read_labels(file, reviewer)
        changed = store.resolve_all(labels, _label_check(repository))
    click.echo(f"{changed} items are resolved; {len(labels) - changed} were so before.", err=True)


@reviews.command(epilog="Example: unsure reviews stats --url postgresql+psycopg://unsure@db/reviews")
@_URL
def stats(review_url: str) -> None:
    """Count the items of each version."""
    with told(), _store(review_url) as store:
        for tally in store.tallies():
            click.echo(
                f"{tally.model}/{tally.version}  pending {tally.pending}  claimed {tally.claimed}  "
                f"resolved {tally.resolved}  agreed {tally.agreed}"
            )


def _store(url: str) -> "AbstractContextManager[Store]":
    from service.review.opening import opened

    return opened(None if url == NO_REVIEWS else url, "--url", _SETTINGS["review_lease_seconds"].default)


def _status(given: str) -> Any:
    return None if given == "any" else given


def _label_check(repository: Path) -> "Callable[[Item, Verdict], Verdict]":
    """Make what reads labels as those of model.toml, where the model is there to ask."""
    from functools import cache

    from service.errors import ManifestError
    from service.repository.manifest_file import read_manifest

    @cache
    def known(model: str) -> tuple[str, ...]:
        try:
            return read_manifest(repository / model / "model.toml").output.labels
        except ManifestError:
            return ()

    def check(item: "Item", verdict: "Verdict") -> "Verdict":
        return verdict.in_words_of(known(item.row.model) if item.row.task == "classification" else ())

    return check
