"""The options of `unsure add`; torch is not imported here, since --help must not wait for it."""

from collections.abc import Callable
from pathlib import Path

import click

Command = Callable[..., None]
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)

_OPTIONS = (
    click.option(
        "--huggingface", type=_FOLDER, help="Folder of save_pretrained; it says all but the policy."
    ),
    click.option("--factory", help="PACKAGE.MODULE:FUNCTION that builds the network."),
    click.option("--arguments", help="Its keyword arguments, as a JSON object."),
    click.option("--weights", type=_FILE, help="Weights, as safetensors."),
    click.option(
        "--task",
        type=click.Choice(["classification", "token_classification", "regression"]),
        help="What the model does.",
    ),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        help="NAME:DTYPE:SHAPE of a row, such as image:float32:1,8,8; :LOWEST..HIGHEST behind it for a "
        "range. Once for each tensor, in the order of forward's arguments.",
    ),
    click.option(
        "--columns",
        help="Names of the numbers of a row, as the first line of a CSV has them; rows and files that have "
        "names are matched by these.",
    ),
    click.option("--tokenizer", type=_FILE, help="Of a model of texts: a file of the library tokenizers."),
    click.option("--max-tokens", type=click.IntRange(1), help="Of a text."),
    click.option(
        "--words",
        is_flag=True,
        help="Of a model that labels tokens: the first of each word has an answer, and stands for the word.",
    ),
    click.option("--labels", help="Of the classes, comma-separated."),
    click.option("--output", help="Which output is served, where forward returns several."),
    click.option(
        "--activation", type=click.Choice(["softmax", "none"]), help="softmax where it gives logits."
    ),
    click.option("--variance-head", is_flag=True, help="It gives mean and log variance side by side."),
    click.option("--samples", type=click.IntRange(2), help="How many, where a request does not say."),
    click.option("--measure", help="The score by which rows are flagged."),
    click.option(
        "--threshold",
        type=float,
        help="A higher score is flagged; of a classifier, half of the largest entropy if left out.",
    ),
    click.option("--version", type=click.IntRange(1), help="Its number; the next if left out."),
    click.option(
        "--sample",
        type=_FILE,
        help="JSON file of rows to try, a request's body or its `inputs`; else one is made up.",
    ),
)


def addition_options(command: Command) -> Command:
    """Give a command all that says what to add."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
