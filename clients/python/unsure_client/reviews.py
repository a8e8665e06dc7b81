"""Rows that people should look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from unsure_client.reading import read

ReviewStatus = Literal["pending", "claimed", "resolved"]
ReviewOrder = Literal["uncertain", "oldest"]


@dataclass(frozen=True)
class Review:
    """One row for people.

    Args:
        id: of the review; a flagged row's answer names it.
        status: pending, claimed or resolved.
        model: that flagged the row.
        version: of the model.
        score: of the row.
        request_id: of the request that the row came with.
        row: its number within that request.
        claim: whose it is for now, as the server says it; None for nobody's.
        resolution: what was decided, as the server says it; None where nothing is.
        fields: all that the server says of it.
    """

    id: str
    status: str
    model: str = ""
    version: str = ""
    score: float | None = None
    request_id: str = ""
    row: int = 0
    claim: Mapping[str, Any] | None = None
    resolution: Mapping[str, Any] | None = None
    fields: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ReviewPage:
    """Some reviews; `cursor` is where the next page begins, None after the last."""

    reviews: tuple[Review, ...]
    cursor: str | None = None


def read_review(given: Any) -> Review:
    """Read a review."""
    return read(Review, {**given, "fields": given})


def read_page(given: Any) -> ReviewPage:
    """Read a page of reviews."""
    return ReviewPage(tuple(map(read_review, given["reviews"])), given["next_cursor"])
