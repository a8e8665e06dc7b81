"""`unsure calibrate --from-reviews`: audit rows certify, and nothing else does."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from decided import decided
from repositories import Repository
from reviewed import CLASSIFIED
from servers import Serve

from service.cli import main
from service.repository.calibration import Calibration, read_calibration
from service.review.database import Database
from service.review.items import Row
from service.review.labels import Labelled
from service.review.steps import Verdict
from service.review.store import Store

ROWS, SAMPLES, SEED, THRESHOLD = 400, 10, 3, 0.9
PATH = "/v1/models/small/uncertainty"


@dataclass
class Answered:
    """A model, rows that its server has answered, and the queue that they shall be in.

    Args:
        repository: of the model.
        store: of reviews.
        rows: as they would enter, those that are not flagged marked audit.
        right: what each is if the model is right.
    """

    repository: Repository
    store: Store
    rows: list[Row]
    right: list[Verdict]

    @property
    def audits(self) -> list[int]:
        return [number for number, row in enumerate(self.rows) if row.audit]

    def review(self, wrong: Iterable[int] = (), waiting: Iterable[int] = ()) -> None:
        """Let all enter and be resolved, but those that wait."""
        found, open_ = set(wrong), set(waiting)
        labels = []
        for number, identifier in enumerate(self.store.enter(self.rows)):
            if number not in open_:
                verdict = _other(self.right[number]) if number in found else self.right[number]
                labels.append(Labelled(number, identifier, "ann", verdict))
        self.store.resolve_all(labels)

    def calibrated(self, *more: str) -> Result:
        arguments = ["calibrate", "small", "--from-reviews", "--repository", str(self.repository.path)]
        if "--review-url" not in more:
            arguments += ["--review-url", f"sqlite:///{self.repository.path.parent}/reviews.db"]
        return CliRunner().invoke(main, [*arguments, "--factories", "networks", "--plan", "vmap", *more])

    @property
    def calibration(self) -> Calibration | None:
        return read_calibration(self.repository.path / "small" / "1")


def _other(verdict: Verdict) -> Verdict:
    if verdict.label is not None:
        return Verdict(label="a" if verdict.label != "a" else "b")
    return Verdict(value=[value + 10 for value in verdict.value])  # type: ignore[union-attr]


def answered(repository: Repository, serve: Serve, task: str = "classification") -> Answered:
    inputs = np.random.default_rng(1).normal(size=(ROWS, 6)).astype(np.float32).tolist()
    answer = serve().post(PATH, json={"inputs": inputs}).json()
    store = Store(Database(f"sqlite:///{repository.path.parent}/reviews.db"), 60.0)
    rows = [_row(number, given, answer, task) for number, given in enumerate(inputs)]
    return Answered(repository, store, rows, [_right(row) for row in rows])


def _right(row: Row) -> Verdict:
    if row.task == "classification":
        return Verdict(label=row.prediction["label"])
    return Verdict(value=row.prediction["value"])


def _row(number: int, given: Sequence[float], answer: dict[str, Any], task: Any) -> Row:
    found, policy = answer["results"][number], answer["policy"]
    zeros = {"lower": [0.0] * 3, "upper": [0.0] * 3}
    prediction = (
        {"label": found["label"]} if task == "classification" else {"value": found["mean"], "interval": zeros}
    )
    return replace(
        CLASSIFIED,
        number=number,
        model="small",
        task=task,
        policy_id=policy["id"],
        measure=policy["measure"],
        threshold=policy["threshold"],
        score=found["score"],
        reasons=CLASSIFIED.reasons if found["low_confidence"] else (),
        prediction=prediction,
        statistics={"samples": SAMPLES, "seed": SEED},
        input=json.dumps(given).encode(),
        audit=not found["low_confidence"],
    )


@pytest.fixture
def queue(repository: Repository, serve: Serve) -> Answered:
    repository.add(sampling={"samples": SAMPLES, "seed": SEED}, network=decided())
    return answered(repository, serve)


def told(result: Result) -> str:
    """Give an error in one line."""
    assert result.exit_code != 0, result.output
    return " ".join(result.stderr.split())


def certified(queue: Answered, *more: str) -> tuple[Calibration, str]:
    result = queue.calibrated("--target-error", "0.1", *more)
    assert result.exit_code == 0, result.output
    assert queue.calibration is not None
    return queue.calibration, result.stdout


def test_audit_rows_certify_the_threshold_that_serves_and_flagged_rows_no_looser_one(
    queue: Answered, serve: Serve
) -> None:
    queue.review()  # all are right, the flagged ones too: with these a looser one would pass
    calibration, text = certified(queue)
    audits = len(queue.audits)
    assert 100 < audits < ROWS - 50
    assert calibration.found.threshold == THRESHOLD
    assert calibration.found.rows == calibration.found.accepted == audits - -(-audits * 15 // 100)
    assert (calibration.rows_of, calibration.conformal) == ("unflagged", None)
    assert "(95 % confidence); the threshold stays what it was." in text
    assert f"flagged rows, which are no fair sample: {ROWS - audits}" in text
    policy = serve().post(PATH, json={"inputs": [[0] * 6]}).json()["policy"]
    assert (policy["source"], policy["certified"], policy["threshold"]) == ("calibrated", True, THRESHOLD)


def test_errors_of_flagged_rows_take_nothing_from_the_promise(queue: Answered) -> None:
    queue.review(wrong=set(range(ROWS)) - set(queue.audits))
    assert certified(queue)[0].found.errors == 0


def test_errors_below_the_threshold_make_it_stricter(queue: Answered) -> None:
    scores = {number: queue.rows[number].score for number in queue.audits}
    queue.review(wrong=sorted(scores, key=scores.__getitem__)[-len(scores) // 5 :])
    calibration, text = certified(queue)
    found = calibration.found
    assert found.threshold is not None
    assert found.threshold < THRESHOLD
    flagged = f"{100 * (1 - found.accepted / found.rows):.2g} %"
    assert f"of the rows that are not flagged today, {flagged} would be flagged too." in text


def test_a_row_that_was_passed_over_makes_the_sample_unfair(queue: Answered) -> None:
    queue.review(waiting=[queue.audits[5]])
    assert "up to the newest that is resolved, 1 are not" in told(queue.calibrated())
    assert queue.calibration is None


def test_flagged_rows_may_wait_and_so_may_the_newest(queue: Answered) -> None:
    flagged = sorted(set(range(ROWS)) - set(queue.audits))
    queue.review(waiting=[*flagged, *queue.audits[-7:]])
    calibration, text = certified(queue)
    assert "audit rows newer than the last that is resolved: 7" in text
    assert calibration.found.rows == int((len(queue.audits) - 7) * 0.85)


def test_rows_that_another_setting_decided_are_left_out(queue: Answered) -> None:
    first = queue.audits
    changes: list[dict[str, Any]] = [
        {"policy_id": "small-1-00000000"},
        {"statistics": {"samples": 20, "seed": SEED}},
        {"statistics": {"samples": SAMPLES, "seed": 4}},
        {"statistics": {"samples": SAMPLES, "seed": SEED, "adaptive": True}},
        {"version": "2"},
        {"input": None},
    ]
    for number, change in zip(first, changes, strict=False):
        queue.rows[number] = replace(queue.rows[number], **change)
    queue.review(wrong=first[: len(changes)])
    calibration, text = certified(queue)
    assert calibration.found.errors == 0
    for why in (
        "audit rows of another threshold or score: 1",
        "audit rows of other samples or another seed: 3",
        "items of other versions: 1",
        "audit rows without their input: 1",
    ):
        assert why in text


def test_rows_that_were_trained_on_are_left_out(queue: Answered) -> None:
    from models.training.data import Rows
    from models.training.entry import fingerprints

    given = json.loads(queue.rows[queue.audits[0]].input or b"")
    (mark,) = fingerprints(Rows(torch.tensor([given]), torch.zeros(1)))
    (queue.repository.path / "small" / "1" / "training_rows.txt").write_text(mark)
    queue.review()
    assert "audit rows that were trained on: 1" in certified(queue)[1]


def test_rows_older_than_a_change_of_scores_are_left_out(queue: Answered) -> None:
    changed = queue.audits[9]
    queue.rows[changed] = replace(queue.rows[changed], score=queue.rows[changed].score + 0.01)
    queue.review(wrong=queue.audits[:9])
    calibration, text = certified(queue)
    assert "audit rows older than a change of the model's scores: 10" in text
    assert calibration.found.errors == 0


def test_other_weights_under_the_same_version_are_told(queue: Answered) -> None:
    queue.review()
    queue.repository.add(sampling={"samples": SAMPLES, "seed": SEED})
    assert "audit rows are not what they were" in told(queue.calibrated())


def test_rows_without_their_inputs_are_refused(queue: Answered) -> None:
    queue.rows = [replace(row, input=None) for row in queue.rows]
    queue.review()
    assert "UNSURE_REVIEW_INPUTS=stored" in told(queue.calibrated())


def test_too_few_rows_say_how_many_and_leave_what_serves(queue: Answered) -> None:
    queue.review(waiting=queue.audits[60:])
    text = told(queue.calibrated("--target-error", "0.02"))
    assert "on 51 audit rows no threshold keeps the errors at 0.02" in text
    assert "resolved audit rows are needed" in text
    assert queue.calibration is None


def test_fewer_than_forty_are_refused(queue: Answered) -> None:
    queue.review(waiting=queue.audits[39:])
    assert "39 resolved audit rows can be used, and 40 are the least" in told(queue.calibrated())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--contract", "joint_risk"], "audit rows do not show how many are flagged"),
        (["--measure", "mutual_information"], "audit rows are those with a low predictive_entropy"),
        (["--temperature"], "--temperature changes the scores"),
        (["--data", "heldout.npz"], "leave out --data"),
        (["--review-url", "off"], "UNSURE_REVIEW_URL is off"),
        (["--review-url", "sqlite:////nowhere/reviews.db"], "name its database with --review-url"),
    ],
)
def test_what_audit_rows_cannot_show_is_refused(queue: Answered, more: list[str], reason: str) -> None:
    queue.review()
    assert reason in told(queue.calibrated(*more))
    assert queue.calibration is None


def test_values_are_wrong_beyond_the_tolerance_whatever_the_interval_said(
    repository: Repository, serve: Serve
) -> None:
    repository.add(
        factory="linear",
        task="regression",
        output={},
        policy={"measure": "standard_deviation", "threshold": THRESHOLD},
        sampling={"samples": SAMPLES, "seed": SEED},
    )
    queue = answered(repository, serve, "regression")
    queue.review(wrong=queue.audits)  # all are 10 off
    assert "no threshold has so few errors" in told(queue.calibrated("--tolerance", "9"))
    calibration, _ = certified(queue, "--tolerance", "11")
    assert (calibration.found.threshold, calibration.found.errors) == (THRESHOLD, 0)


def test_a_model_that_flags_every_row_has_no_audit_rows(queue: Answered, tmp_path: Path) -> None:
    queue.review()
    data = {"inputs": np.zeros((50, 6)), "targets": np.arange(50) % 3}
    np.savez(tmp_path / "few.npz", **data)
    given = ["--repository", str(queue.repository.path), "--factories", "networks", "--plan", "vmap"]
    made = CliRunner().invoke(main, ["calibrate", "small", "--data", str(tmp_path / "few.npz"), *given])
    assert made.exit_code == 0, made.output
    assert "flags every row" in told(queue.calibrated())
