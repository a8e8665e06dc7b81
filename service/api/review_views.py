"""Items of the review queue as the JSON that clients see."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from service.api.review_wire import (
    ClaimView,
    ResolutionView,
    Review,
    ReviewList,
    ReviewStats,
    ReviewTally,
    WatchedVersion,
)
from service.api.wire import ReasonView
from service.review.items import Item
from service.review.paging import Order
from service.review.store import Page, Tally

_ANSWER = {"label", "class_index", "value", "text", "start", "end"}
"""What a prediction has where nothing may tell how sure the model was."""


_ON_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


def review(item: Item, now: float, *, blind: bool) -> Review:
    """Show an item whole; `blind` is whether it must not tell, while it is open, that it is an audit."""
    shown = review_line(item, now, blind=blind)
    # The row stands as it was sent, perhaps on several lines, and an export has an item a line. In JSON a
    # line break is white space between values: within a text it is escaped.
    shown.input = Raw(b"null" if item.row.input is None else item.row.input.translate(_ON_ONE_LINE))
    return shown


def review_line(item: Item, now: float, *, blind: bool) -> Review:
    """Show an item without its input, which may be large."""
    shown = _line(item, now)
    return _blinded(shown) if blind and item.resolution is None else shown


def _blinded(shown: Review) -> Review:
    """Take out whatever comes of how sure the model was, and the hash by which audits are chosen."""
    answer = _without_confidence(shown.prediction)
    if "tokens" in shown.prediction:
        answer = {"tokens": [_without_confidence(token) for token in shown.prediction["tokens"]]}
    return replace(
        shown,
        threshold=None,
        score=None,
        reasons=None,
        prediction=answer,
        statistics=None,
        audit=None,
        input_sha256=None,
    )


def _without_confidence(prediction: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in prediction.items() if name in _ANSWER}


def _line(item: Item, now: float) -> Review:
    row, claim, resolution = item.row, item.held(now), item.resolution
    return Review(
        id=item.id,
        status=item.status(now),
        created_at=_time(item.created),
        model=row.model,
        version=row.version,
        task=row.task,
        policy_id=row.policy_id,
        measure=row.measure,
        threshold=row.threshold,
        score=row.score,
        reasons=[ReasonView(one.code, one.message) for one in row.reasons],
        prediction=dict(row.prediction),
        statistics=dict(row.statistics),
        request_id=row.request_id,
        row=row.number,
        audit=row.audit,
        input_sha256=row.input_sha256,
        claim=None if claim is None or resolution is not None else _claim(claim.reviewer, claim.expires),
        resolution=None
        if resolution is None
        else ResolutionView(
            resolution.reviewer,
            resolution.label,
            resolution.value,
            resolution.note,
            resolution.agreed,
            _time(resolution.time),
        ),
    )


def review_list(page: Page, order: Order, now: float, *, blind: bool) -> ReviewList:
    """Show some items."""
    items = [review_line(item, now, blind=blind) for item in page.items]
    return ReviewList(items, page.next_cursor, order, blind)


def review_stats(tallies: list[Tally], watched: list[WatchedVersion]) -> ReviewStats:
    """Show the queue in numbers."""
    return ReviewStats([ReviewTally(**vars(tally)) for tally in tallies], watched)


def label_studio(shown: Review) -> dict[str, Any]:
    """Show an item as a task of Label Studio: its prediction, and its annotation where it is resolved."""
    prediction, resolution = shown.prediction, shown.resolution
    task: dict[str, Any] = {
        "data": {
            "review_id": shown.id,
            "model": shown.model,
            "input": shown.input,
            "reasons": [reason.message for reason in shown.reasons or []],
        },
        "predictions": [
            {
                "model_version": f"{shown.model}/{shown.version}",
                "score": prediction.get("confidence", 0.0),
                "result": _results(prediction),
            }
        ],
        "annotations": [],
    }
    if resolution is not None:
        said = resolution.value if resolution.label is None else resolution.label
        task["annotations"] = [{"completed_by": resolution.reviewer, "result": [_result(said)]}]
    return task


def _results(prediction: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Show an answer: spans of a text, a choice, or a number."""
    if "tokens" in prediction:
        return [_span(token) for token in prediction["tokens"]]
    return [_result(prediction.get("label", prediction.get("value")))]


def _span(token: Mapping[str, Any]) -> dict[str, Any]:
    value = {"start": token["start"], "end": token["end"], "labels": [token["label"]]}
    return {"from_name": "label", "to_name": "input", "type": "labels", "value": value}


def _result(said: Any) -> dict[str, Any]:
    kind, value = ("choices", {"choices": [said]}) if isinstance(said, str) else ("number", {"number": said})
    return {"from_name": "answer", "to_name": "input", "type": kind, "value": value}


def _claim(reviewer: str, expires: float) -> ClaimView:
    return ClaimView(reviewer, _time(expires))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
