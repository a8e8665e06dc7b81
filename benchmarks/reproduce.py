"""What papers have reported, done again with this server's engine.

`uci` wants a folder of CSV files; the others learn the digits that come with scikit-learn. Results are kept,
and a run that was stopped goes on where it was.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import machine  # the folder of a script is on its path
from reproduction.uci import PRECISIONS, Effort
from reproduction.uci_run import default_workers, run_missing
from reproduction.uci_tables import choices_table, figures_table

RESULTS = Path(__file__).parent / ".reproduce"
SPLITS, EFFORT = 20, Effort(epochs=4000, samples=10_000)
QUICK_SPLITS, QUICK_EFFORT = 3, Effort(epochs=20, samples=100)


def reproduce_uci(given: argparse.Namespace) -> None:
    """Print the tables of the UCI sets."""
    paths = _sets(given.data)
    splits, effort = (QUICK_SPLITS, QUICK_EFFORT) if given.quick else (SPLITS, EFFORT)
    results = run_missing(paths, splits, effort, given.results, given.workers)
    print(machine(), end="\n\n")
    print(figures_table(results), choices_table(results), sep="\n\n")


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


PARTS: Mapping[str, Callable[[argparse.Namespace], None]] = {"uci": reproduce_uci}


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("part", choices=PARTS)
    options.add_argument("--data", type=Path, help="folder of the UCI sets")
    options.add_argument("--results", type=Path, default=RESULTS, help="folder in which results are kept")
    options.add_argument(
        "--workers", type=int, default=default_workers(), help="processes, of one thread each"
    )
    options.add_argument("--quick", action="store_true", help="three splits, few epochs: no figures")
    return options.parse_args()


def main() -> None:
    """Print a part's tables."""
    given = _options()
    PARTS[given.part](given)


if __name__ == "__main__":
    main()
