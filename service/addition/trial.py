"""A version's first answers, told to whoever adds it."""

from pathlib import Path

import msgspec

from service.errors import AdditionRefused
from service.files import read_file
from service.predictor.answers import EXACT, Array, ClassPrediction, Sampled, TokenPrediction
from service.predictor.rows import Group, Rows
from service.predictor.served_model import ServedModel
from service.predictor.together import Draw
from service.uncertainty.sequential import Rounds

_SHOWN = 5  # rows, and values of a row


class _Body(msgspec.Struct):
    inputs: msgspec.Raw


def tried(model: ServedModel, sample: Path | None) -> str:
    """Ask for a prediction and for samples of a few rows.

    Args:
        model: that is asked.
        sample: a JSON file of rows, as a request's `inputs`; left out, one row is made up.

    Returns:
        A line a row.

    Raises:
        RequestError: the rows are not the model's, or it fails on them.
        AdditionRefused: the file cannot be read.
    """
    rows = _rows(model, sample)
    kind = "made-up row" if sample is None else "row"
    predictions = rows.in_order([_predicted(model, group) for group in rows.groups])
    sampled = rows.in_order([_sampled(model, group) for group in rows.groups])
    lines = [
        f"{kind} {row}: {prediction}, nothing dropped; {samples}"
        for row, (prediction, samples) in enumerate(zip(predictions, sampled, strict=True))
    ]
    more = [f"and {len(lines) - _SHOWN} rows more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])


def _rows(model: ServedModel, sample: Path | None) -> Rows:
    if sample is None:
        return Rows((model.made_up(1),))
    try:
        content = read_file(sample)
    except OSError as cause:
        raise AdditionRefused(f"{sample} cannot be read: {cause.strerror}") from cause
    return model.inputs.read(_inputs_of(content, model))


def _inputs_of(content: bytes, model: ServedModel) -> bytes:
    """Take the rows out of a request's body, which is what people have at hand."""
    if any(spec.name == "inputs" for spec in model.manifest.input):
        return content
    try:
        return bytes(msgspec.json.decode(content, type=_Body).inputs)
    except msgspec.MsgspecError:
        return content


def _predicted(model: ServedModel, group: Group) -> list[str]:
    prediction = model.predict(group.inputs)
    if isinstance(prediction, ClassPrediction):
        return [_class(model, row) for row in prediction.probabilities]
    if isinstance(prediction, TokenPrediction):
        return [_tokens(model, row) for row in prediction.probabilities]
    return [_values(row) for row in prediction.value]


def _class(model: ServedModel, probabilities: Array) -> str:
    best = int(probabilities.argmax())
    return f"{model.identity.labels[best]}, {probabilities[best]:.3g}"


def _tokens(model: ServedModel, probabilities: Array) -> str:
    more = f"; and {len(probabilities) - _SHOWN} tokens more" if len(probabilities) > _SHOWN else ""
    return "; ".join(_class(model, token) for token in probabilities[:_SHOWN]) + more


def _values(values: Array) -> str:
    shown = ", ".join(f"{value:.4g}" for value in values[:_SHOWN])
    return f"{shown}, …" if len(values) > _SHOWN else shown


def _sampled(model: ServedModel, group: Group) -> list[str]:
    if not model.engine.report.can_sample:
        return ["no dropout to sample"] * len(group)
    policy, sampled = model.policy, _drawn(model, group)
    flags = policy.decide(sampled.scores.tolist())
    counts = sampled.measures.samples
    return [
        f"{'exact' if model.default_samples == EXACT else f'{int(count)} samples'}: {policy.measure} "
        f"{flag.score:.4g}, {'flagged' if flag.low_confidence else 'not flagged'} at {policy.threshold:g}"
        for flag, count in zip(flags, counts, strict=True)
    ]


def _drawn(model: ServedModel, group: Group) -> Sampled:
    samples, seed = model.default_samples, model.manifest.sampling.seed
    if samples == EXACT:
        return model.drawn(group.inputs, EXACT, seed)
    rounds = samples if isinstance(samples, Rounds) else Rounds(samples, samples)
    return model.drawn(group.inputs, Draw(rounds, model.policy.threshold), seed)
