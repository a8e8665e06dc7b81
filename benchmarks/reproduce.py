"""What papers have reported, done again with this server's engine.

`uci` wants a folder of CSV files; the others learn the digits that come with scikit-learn. Results are kept,
and a run that was stopped goes on where it was.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import machine  # the folder of a script is on its path
from reproduction import architectures, uci_run, weight_scaling
from reproduction.architectures_tables import predictions_table, risks_table, shifts_table
from reproduction.parallel import default_workers
from reproduction.pictures import draw_architectures, draw_curves
from reproduction.uci import PRECISIONS, Effort
from reproduction.uci_tables import choices_table, figures_table
from reproduction.weight_scaling import SCHEDULE, Draws
from reproduction.weight_scaling_tables import Curves, curves_table, meeting_words

from models.training.families import families_of

BENCHMARKS = Path(__file__).parent
SPLITS, EFFORT = 20, Effort(epochs=4000, samples=10_000, validation_samples=1000)
SCALING_SPLITS, DRAWS = 10, Draws(most=200, repeats=5)
TRAININGS, SAMPLES = 3, 200

QUICK_SPLITS, QUICK_EFFORT = 3, Effort(epochs=20, samples=100, validation_samples=20)
QUICK_DRAWS, QUICK_EPOCHS = Draws(most=5, repeats=2), 2
QUICK_FAMILIES, QUICK_TRAININGS, QUICK_SAMPLES = ["drop_connect"], 2, 10


def reproduce_uci(given: argparse.Namespace) -> None:
    """Print the tables of the UCI sets."""
    paths = _sets(given.data)
    splits, effort = (QUICK_SPLITS, QUICK_EFFORT) if given.quick else (SPLITS, EFFORT)
    results = uci_run.run_missing(paths, splits, effort, given.results, given.workers)
    print(figures_table(results), choices_table(results), sep="\n\n")


def reproduce_weight_scaling(given: argparse.Namespace) -> None:
    """Print the table of weight scaling, and draw it."""
    splits, draws = (QUICK_SPLITS, QUICK_DRAWS) if given.quick else (SCALING_SPLITS, DRAWS)
    schedule = replace(SCHEDULE, epochs=QUICK_EPOCHS) if given.quick else SCHEDULE
    results = weight_scaling.run_missing(splits, draws, schedule, given.results, given.workers)
    curves = Curves.of(results)
    draw_curves(curves, given.pictures / "weight-scaling.svg")
    print(curves_table(curves), meeting_words(curves), sep="\n\n")


def reproduce_architectures(given: argparse.Namespace) -> None:
    """Print the tables of architectures, and draw them."""
    families = QUICK_FAMILIES if given.quick else families_of("digits")
    trainings, samples = (QUICK_TRAININGS, QUICK_SAMPLES) if given.quick else (TRAININGS, SAMPLES)
    results = architectures.run_missing(families, trainings, samples, given.results, given.workers)
    draw_architectures(results, given.pictures / "architectures.svg")
    print(predictions_table(results), risks_table(results), shifts_table(results), sep="\n\n")


def _sets(folder: Path | None) -> Mapping[str, Path]:
    """Find the sets that a folder has."""
    named = ", ".join(f"{name}.csv" for name in PRECISIONS)
    if folder is None:
        raise SystemExit(
            f"name a folder that has {named} with --data; benchmarks/README.md says where they are"
        )
    paths = {name: folder / f"{name}.csv" for name in PRECISIONS}
    found = {name: path for name, path in paths.items() if path.is_file()}
    if not found:
        raise SystemExit(f"{folder} has none of {named}; benchmarks/README.md says where they are")
    return found


PARTS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "uci": reproduce_uci,
    "weight-scaling": reproduce_weight_scaling,
    "architectures": reproduce_architectures,
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("part", choices=PARTS)
    options.add_argument("--data", type=Path, help="folder of the UCI sets")
    options.add_argument(
        "--results", type=Path, default=BENCHMARKS / ".reproduce", help="folder to keep them in"
    )
    options.add_argument("--pictures", type=Path, default=BENCHMARKS / "pictures", help="folder to draw into")
    options.add_argument(
        "--workers", type=int, default=default_workers(), help="processes of one thread each; 0: in this one"
    )
    options.add_argument(
        "--quick", action="store_true", help="three splits, few epochs: no figures worth keeping"
    )
    return options.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a part's tables; the arguments are those of the command, if no others are given."""
    given = _options(arguments)
    print(machine(), end="\n\n")
    PARTS[given.part](given)


if __name__ == "__main__":
    main()
