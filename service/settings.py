"""Every setting, in one table: an environment variable and an option of `unsure serve` each."""

from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, cast, get_args, get_type_hints

from service.logs import LOG_FORMATS
from service.sampling.names import PLANS

PREFIX = "UNSURE_"

NO_REVIEWS = "off"
"""In place of the review queue's database."""


@dataclass(frozen=True)
class Described:
    """What a setting is about.

    Args:
        text: for people.
        minimum: the least value of a number.
        maximum: the largest.
        choices: all that it may be; empty for anything.
    """

    text: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What an operator decides."""

    repository: Annotated[Path, Described("Folder of the models.")] = Path("model_repository")
    factories: Annotated[str, Described("Packages whose functions may build models, comma-separated.")] = (
        "models.zoo"
    )
    host: Annotated[str, Described("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Described("Port to listen on; 0 for any that is free.", 0, 65535)] = 8000
    api_keys_file: Annotated[
        Path | None, Described("File of the keys that requests need; `unsure keys` writes it.")
    ] = None
    protect_all: Annotated[bool, Described("Health, metrics and documentation need a key too.")] = False
    without_keys: Annotated[
        bool, Described("Listen where other machines reach the server, though nobody needs a key.")
    ] = False
    allowed_hosts: Annotated[
        str | None,
        Described(
            "Names that the server may be asked under, comma-separated: *.example.com for all below, * for "
            "any. Left out, any; but without keys on a loopback address localhost and such addresses alone."
        ),
    ] = None
    device: Annotated[str, Described("Where models run: cpu, cuda, cuda:1; auto takes a GPU if it can.")] = (
        "auto"
    )
    plan: Annotated[
        str, Described("How samples run wherever that can; auto takes the fastest.", choices=("auto", *PLANS))
    ] = "auto"
    precision: Annotated[
        str,
        Described(
            "Of samples; auto takes bfloat16 where that is fast and moves the mean little.",
            choices=("auto", "float32"),
        ),
    ] = "auto"
    compile_after_seconds: Annotated[
        float,
        Described("How long requests of a shape have run before code is compiled for it; 0 for never.", 0),
    ] = 10.0
    load_seconds: Annotated[
        float,
        Described(
            "How long a version of a model may take to load; then it is given up, and counts as failed.", 0.1
        ),
    ] = 300.0
    workers: Annotated[
        int,
        Described(
            "Processes that serve; each has the models, and a share of the processor's cores.", 1, 1024
        ),
    ] = 1
    threads: Annotated[
        int, Described("Threads that compute in each process; 0 for the cores that are its share.", 0, 1024)
    ] = 0
    max_pending_rows: Annotated[int, Described("Rows that may wait or run at one time.", 1)] = 4096
    max_pending_samples: Annotated[
        int, Described("Samples that may wait or run at one time: rows times samples of each.", 1)
    ] = 4_000_000
    max_batch_rows: Annotated[int, Described("Most rows of requests that run together.", 1)] = 256
    batch_seconds: Annotated[
        float, Described("About how long rows that run together may take, before others have a turn.", 0.001)
    ] = 0.05
    max_body_bytes: Annotated[int, Described("Largest body of a request.", 1)] = 16_000_000
    max_receiving_bytes: Annotated[
        int, Described("Bytes of bodies that may be on their way at one time; more are answered 429.", 1)
    ] = 256_000_000
    max_head_bytes: Annotated[
        int, Described("Largest head of a request: its first line and its headers.", 256)
    ] = 32_768
    max_connections: Annotated[
        int, Described("Connections that may be open at one time; more are answered 503.", 1)
    ] = 2048
    head_seconds: Annotated[
        float,
        Described("How long a request's head may take to arrive; then its connection is closed.", 0.001),
    ] = 10.0
    body_seconds: Annotated[
        float, Described("How long a body may take to arrive, and an answer to be taken.", 0.001)
    ] = 30.0
    max_sample_values: Annotated[
        int,
        Described("Most numbers behind one answer's raw samples or quantiles: rows × samples × outputs.", 1),
    ] = 1_000_000
    deadline_seconds: Annotated[float, Described("How long a request may take.", 0.001)] = 30.0
    drain_seconds: Annotated[
        int, Described("How long accepted requests may take once the server is told to stop.", 0)
    ] = 30
    review_url: Annotated[
        str,
        Described("Database of the review queue: sqlite:///file, postgresql+psycopg://…, or off for none."),
    ] = "sqlite:///reviews.db"
    review_inputs: Annotated[
        str,
        Described("What the review queue keeps of a row's input.", choices=("stored", "hashed")),
    ] = "stored"
    review_audit_share: Annotated[
        float,
        Described("Share of the rows that are not flagged that enter the review queue too, as audits.", 0, 1),
    ] = 0.0
    review_days: Annotated[
        float, Described("How long an item of the review queue is kept, in days; 0 for ever.", 0)
    ] = 0.0
    review_lease_seconds: Annotated[
        float, Described("How long a reviewer's claim holds; then the item is pending again.", 1)
    ] = 900.0
    review_write_seconds: Annotated[
        float, Described("How long rows may take to enter the review queue.", 0.001)
    ] = 2.0
    review_failure: Annotated[
        str,
        Described(
            "Where rows cannot enter the review queue: the answer says so, or the request is answered 503.",
            choices=("serve", "refuse"),
        ),
    ] = "serve"
    log_format: Annotated[
        str, Described("Of the log: text for people, json for programs.", choices=LOG_FORMATS)
    ] = "text"
    access_log: Annotated[bool, Described("Each request has a line in the log.")] = False
    log_level: Annotated[
        str, Described("Least severe messages logged.", choices=("debug", "info", "warning", "error"))
    ] = "info"

    @property
    def allowed_factories(self) -> tuple[str, ...]:
        """The packages of `factories`."""
        return tuple(name.strip() for name in self.factories.split(",") if name.strip())


@dataclass(frozen=True)
class Setting:
    """One setting, for the command line and the documentation."""

    name: str
    default: Any
    kind: type
    described: Described

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def is_flag(self) -> bool:
        """Whether it is off unless it is named."""
        return self.kind is bool

    @property
    def shown_default(self) -> str:
        """Its default, as an environment variable would say it."""
        if self.default is None:
            return "none"
        return str(self.default).lower() if self.is_flag else str(self.default)

    @property
    def option(self) -> str:
        """Its option of `unsure serve`."""
        return "--" + self.name.replace("_", "-")


def settings_table() -> list[Setting]:
    """List the settings in the order of the class."""
    hints = get_type_hints(Settings, include_extras=True)
    annotated = {name: get_args(hint) for name, hint in hints.items()}
    return [
        Setting(item.name, item.default, _kind(annotated[item.name][0]), annotated[item.name][1])
        for item in fields(Settings)
    ]


def _kind(hint: Any) -> type:
    """Give the type of what is set; that it need not be, its default tells."""
    (kind,) = {*(get_args(hint) or (hint,))} - {NoneType}
    return cast("type", kind)
