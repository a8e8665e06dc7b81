"""Items as rows of the table, and back."""

from typing import Any

import msgspec
from sqlalchemy import RowMapping

from service.review.items import Claim, Item, Reason, Resolution, Row, Value


def entering(identifier: str, now: float, row: Row) -> dict[str, Any]:
    """Write what enters."""
    return {
        "id": identifier,
        "fingerprint": row.fingerprint,
        "created": now,
        "request_id": row.request_id,
        "number": row.number,
        "model": row.model,
        "version": row.version,
        "task": row.task,
        "policy_id": row.policy_id,
        "measure": row.measure,
        "threshold": row.threshold,
        "score": row.score,
        "reasons": _text(row.reasons),
        "prediction": _text(row.prediction),
        "statistics": _text(row.statistics),
        "input": None if row.input is None else row.input.decode(),
        "input_sha256": row.input_sha256,
        "audit": row.audit,
    }


def standing_of(item: Item) -> dict[str, Any]:
    """Write what changes about an item."""
    claim, resolution = item.claim, item.resolution
    return {
        "claimed_by": None if claim is None else claim.reviewer,
        "claim_expires": None if claim is None else claim.expires,
        "resolved": None if resolution is None else resolution.time,
        "reviewer": None if resolution is None else resolution.reviewer,
        "label": None if resolution is None else resolution.label,
        "value": None if resolution is None or resolution.value is None else _text(resolution.value),
        "note": None if resolution is None else resolution.note,
        "agreed": None if resolution is None else resolution.agreed,
    }


def item_of(found: RowMapping) -> Item:
    """Read an item."""
    return Item(found["id"], found["created"], _row(found), _claim(found), _resolution(found))


def _row(found: RowMapping) -> Row:
    return Row(
        request_id=found["request_id"],
        number=found["number"],
        model=found["model"],
        version=found["version"],
        task=found["task"],
        policy_id=found["policy_id"],
        measure=found["measure"],
        threshold=found["threshold"],
        score=found["score"],
        reasons=msgspec.json.decode(found["reasons"], type=tuple[Reason, ...]),
        prediction=msgspec.json.decode(found["prediction"]),
        statistics=msgspec.json.decode(found["statistics"]),
        input=None if found["input"] is None else found["input"].encode(),
        input_sha256=found["input_sha256"],
        audit=found["audit"],
    )


def _claim(found: RowMapping) -> Claim | None:
    return None if found["claimed_by"] is None else Claim(found["claimed_by"], found["claim_expires"])


def _resolution(found: RowMapping) -> Resolution | None:
    if found["resolved"] is None:
        return None
    value = None if found["value"] is None else msgspec.json.decode(found["value"], type=Value)
    return Resolution(
        *(found["reviewer"], found["label"], value, found["note"], found["agreed"], found["resolved"])
    )


def _text(content: Any) -> str:
    return msgspec.json.encode(content).decode()
