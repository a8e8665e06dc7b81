"""Where log lines go, and what they look like."""

import logging
import sys


def start_logging(level: str) -> None:
    """Log to stderr what is at least as severe as a level."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(message)s"
    )
    # It tells at every start how it makes transactions, which is nothing to an operator.
    logging.getLogger("alembic").setLevel(logging.WARNING)
