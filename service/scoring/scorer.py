"""Rows of a file through the samples that the server takes."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from service.data.columns import Part
from service.data.inputs import InputColumns
from service.errors import InvalidInput, RequestError, ScoringError
from service.predictor.answers import Sampled
from service.predictor.drawing import Decision
from service.predictor.rows import Rows
from service.predictor.served_model import ServedModel
from service.scoring.kept import kept_names, kept_table
from service.scoring.table import Answers

PART_ROWS = 256
"""How many rows run together: what a server takes at most, by default. Of any input the same parts."""

ROW, ERROR = "row", "error"


class Scorer:
    """Makes of each part of a file the same part of the output.

    Args:
        model: as it is served.
        inputs: where its inputs stand.
        keep: columns that are carried through.
        decision: which samples, and with which policy.
        skip_bad: whether a row that cannot be scored has its error in place of an answer.

    Raises:
        ScoringError: the names of columns collide.
    """

    def __init__(
        self,
        model: ServedModel,
        inputs: InputColumns,
        keep: Sequence[str],
        decision: Decision,
        *,
        skip_bad: bool,
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._decision = decision
        self._answers = Answers(model, decision)
        self._skip_bad = skip_bad
        self.kept: Mapping[str, str] = kept_names(keep, {ROW, ERROR, *self._answers.schema.names})

    def check(self, part: Part) -> None:
        """Read rows, and compute nothing.

        Raises:
            ScoringError: one of them cannot be scored; the text names it.
        """
        try:
            self._read(part)
        except RequestError as cause:
            for half in _halves(part, cause):
                self.check(half)

    def score(self, part: Part) -> pa.Table:
        """Score rows.

        Raises:
            ScoringError: one of them cannot be scored, and none is to be skipped.
        """
        table = self._scored(part)
        numbers = pa.array(range(part.first, part.end), pa.int64())
        kept = kept_table(part.columns, self.kept)
        names = [ROW, *kept.column_names, *table.column_names]
        return pa.table([numbers, *kept.columns, *table.columns], names)

    def _scored(self, part: Part) -> pa.Table:
        try:
            rows = self._read(part)
            table = self._answers.table(self._sampled(rows), rows.texts)
        except RequestError as cause:
            if part.columns.rows == 1 and self._skip_bad:
                return self._failed(_told(cause, part))
            return pa.concat_tables([self._scored(half) for half in _halves(part, cause)])
        return _with_errors(table, [None] * len(table))

    def _read(self, part: Part) -> Rows:
        lengths = {name: len(column) for name, column in part.columns.held.items()}
        if len(set(lengths.values())) > 1:
            raise ScoringError(f"{part.path}: all columns must have as many rows, and they have {lengths}")
        rows = self._inputs.read(part.columns, self._model.inputs)
        if len(rows) != part.columns.rows:
            raise InvalidInput("the inputs have other numbers of rows than the file")
        return rows

    def _sampled(self, rows: Rows) -> Sampled:
        decided = self._decision
        return rows.in_order(
            [self._model.drawn(group.inputs, decided.draw, decided.seed) for group in rows.groups]
        )

    def _failed(self, error: str) -> pa.Table:
        empty = pa.table([pa.nulls(1, field.type) for field in self._answers.schema], self._answers.schema)
        return _with_errors(empty, [error])


def _with_errors(table: pa.Table, errors: Sequence[str | None]) -> pa.Table:
    return table.append_column(ERROR, pa.array(errors, pa.string()))


def _halves(part: Part, cause: RequestError) -> list[Part]:
    """Cut a part in which a row is wrong; a row alone is the one.

    Raises:
        ScoringError: the part is of one row.
    """
    rows = part.columns.rows
    if rows == 1:
        raise ScoringError(
            f"{part.where}: {_told(cause, part)}; correct it, leave it out, or have the error in place of an "
            "answer by --skip-bad"
        ) from cause
    places = np.arange(rows).tolist()
    half = rows // 2
    return [part.some(places[:half]), part.some(places[half:])]


def _told(cause: RequestError, part: Part) -> str:
    """Say what is wrong with a row, by its number in its file."""
    text, found = re.subn(r"\brow 0\b", f"row {part.offset}", str(cause), count=1)
    return text if found else f"row {part.offset}: {text}"
