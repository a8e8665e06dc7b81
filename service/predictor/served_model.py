"""One version of a model, ready to answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from service.errors import LoadError, ManifestError, ModelError, ModelRefused, in_full
from service.flagging.policy import Policy
from service.predictor.answers import EXACT, Exact, Identity, Prediction, Sampled
from service.predictor.certificate import certificate, entry_sha256
from service.predictor.drift import ScoreDrift
from service.predictor.execution import Execution, choice_of, findings_of
from service.predictor.inputs import TORCH_DTYPES, InputReader
from service.predictor.outputs import finite, outputs_of
from service.predictor.rows import Group, Inputs
from service.predictor.sampled_rows import SampledRows
from service.predictor.texts import TextReader
from service.predictor.together import Asked, Draw, sample_together
from service.predictor.tokens import TokenReader
from service.repository.calibration import Setting
from service.repository.findings import read_findings, write_findings
from service.repository.folder import ReadModel, models_errors
from service.repository.manifest import AdaptiveSpec, Manifest
from service.sampling.engine import Engine
from service.sampling.executor import Usual
from service.uncertainty.regression import RegressionMeasures
from service.uncertainty.scores import score, score_names
from service.uncertainty.sequential import DEFAULT_ERROR, Rounds

Array = NDArray[Any]


class ServedModel:
    """Ties a manifest's words to the engine's numbers.

    Args:
        read: the model as it was read.
        execution: how it is run.

    Attributes:
        temperature: that the logits of samples are divided by, and not those of predictions.

    Raises:
        LoadError: it cannot be served as its manifest says.
    """

    def __init__(self, read: ReadModel, execution: Execution) -> None:
        self.manifest = manifest = read.manifest
        self.weights_sha256 = read.weights_sha256
        self.identity = Identity(manifest.name, str(read.version), manifest.output.labels)
        configured = _policy(manifest, read.version)
        self.files_sha256 = read.files_sha256
        self.inputs: InputReader | TextReader = _reader(read)
        self._outputs = outputs_of(manifest)
        circumstances = execution.circumstances(read)
        found = read_findings(read.folder, circumstances)
        known, budgets = choice_of(found) if found else None, execution.budgets
        if known and execution.beside:  # it is taken as it stands, and no time is spent on doubting it
            known, budgets = replace(known, steady=True), replace(budgets, measuring_seconds=0.0)
        self.engine = Engine(
            read.module,
            shapes=[tensor.shape for tensor in manifest.input],
            dtypes=[TORCH_DTYPES[tensor.dtype] for tensor in manifest.input],
            selection=manifest.sampling.sites,
            device=execution.device,
            budgets=budgets,
            ranges=self.inputs.ranges,
            usual=Usual(manifest.sampling.seed, manifest.sampling.most_samples),
            pinned=execution.pinned,
            known=known,
            names=[tensor.name for tensor in manifest.input],
            output=manifest.output.name,
            per_token=manifest.per_token,
        )
        plans = self.engine.plans
        if plans and execution.keep_findings:
            found_anew = known is None or (plans.seconds, plans.steady) != (known.seconds, known.steady)
            if found_anew and not (known and execution.beside):
                write_findings(read.folder, findings_of(plans, circumstances))
        self._check_output()
        if isinstance(self.inputs, TextReader):
            self._check_longest(self.inputs)
        self.setting = Setting(
            read.weights_sha256,
            entry_sha256(read),
            tuple(site.name for site in self.engine.report.sites if site.sampled),
            execution.precision,
        )
        self.certificate = certificate(read, configured, self.setting, self.shown_width)
        self.policy = self.certificate.policy
        calibration = self.certificate.calibration
        # Scores of unflagged rows alone are not those that come.
        whole = calibration is not None and calibration.rows_of == "all"
        self.drift = ScoreDrift(calibration.histogram) if calibration and whole else None
        self.temperature = self.certificate.temperature

    def predict(self, inputs: Inputs) -> Prediction:
        """Run the whole network on rows of one shape."""
        outputs = self.engine.predict(self._outputs.network(inputs))
        self._outputs.check(outputs)
        return self._outputs.prediction(outputs, inputs)

    def sample(self, asked: Sequence[Asked], seed: int, proceed: Callable[[], None]) -> list[Sampled]:
        """Run thinned networks on rows of several requests, all of one shape.

        Args:
            asked: by each.
            seed: which networks.
            proceed: called before each chunk; raises where nobody waits any more.
        """

        def run(inputs: Inputs, samples: range) -> Iterator[Tensor]:
            proceed()
            for outputs in self.engine.samples(self._outputs.network(inputs), seed, samples):
                self._outputs.check(outputs)
                yield outputs
                proceed()

        def made(inputs: Inputs, thresholds: Array, rounds: Rounds, **kept: bool) -> SampledRows:
            moments = self._outputs.moments(inputs, self.temperature)
            return SampledRows(thresholds, moments, self.policy.measure, rounds, **kept)

        return sample_together(
            asked, run, made, lambda outputs: self._outputs.shown(outputs, self.temperature)
        )

    def drawn(self, inputs: Inputs, draw: Draw | Exact, seed: int) -> Sampled:
        """Sample rows of one shape alone, as one request that is waited for.

        Args:
            inputs: one tensor per input, [rows, …].
            draw: which samples; exact where none are drawn.
            seed: which networks.
        """
        if draw == EXACT:
            return self.exactly(inputs)
        (sampled,) = self.sample([Asked(inputs, draw)], seed, lambda: None)
        return sampled

    def exactly(self, inputs: Inputs) -> Sampled:
        """Give what endless samples would, of rows of one shape; only where `exact` is."""
        mean, variance = (finite(part.cpu().numpy()) for part in self.engine.moments(inputs))
        measures = RegressionMeasures.exact(mean, variance)
        scores = finite(score(measures, self.policy.measure))
        return Sampled(measures, scores, np.zeros_like(scores), np.ones(len(scores), bool), None, None)

    @property
    def spoilt(self) -> str | None:
        """Why it answers no more: a pass has changed it; None while it is as it was loaded."""
        return self.engine.spoilt

    @property
    def inexact(self) -> str | None:
        """Why mean and variance over all networks have no closed form; None where they have."""
        if self.manifest.classifies:
            return "is a classifier, and averages probabilities"
        if self.manifest.output.variance_head:
            return "has a variance head"
        if self.engine.exact:
            return None
        sites = ", ".join(site.name for site in self.engine.report.sites if site.sampled)
        return f"drops at {sites}; it must drop nowhere but at the input of its last linear layer"

    @property
    def default_samples(self) -> int | Rounds | Exact:
        """How many samples a request takes that does not say."""
        samples = self.manifest.sampling.samples
        if not isinstance(samples, AdaptiveSpec):
            return samples
        error = DEFAULT_ERROR if samples.error is None else samples.error
        return Rounds(samples.min, samples.max, error)

    @property
    def shown_width(self) -> int:
        """How many probabilities or values the model gives for a row, or for a token of it."""
        return self.engine.width // 2 if self.manifest.output.variance_head else self.engine.width

    def made_up(self, rows: int, length: int | None = None) -> Group:
        """Give rows that nobody has sent, of this length where a dimension may have any."""
        shapes = tuple(_of_length(tensor.shape, length) for tensor in self.manifest.input) if length else None
        return Group(range(rows), self._outputs.as_read(self.engine.example(rows, shapes)))

    def _check_output(self) -> None:
        width, output = self.engine.width, self.manifest.output
        if self.manifest.classifies and width != len(output.labels):
            one_logit = (
                "; of one number z, for the second of two labels, give two: the logits [0, z] where it is a "
                "logit, or [1 - z, z] where it is a probability (a sigmoid's)"
                if width == 1 and len(output.labels) == 2
                else ""
            )
            raise ManifestError(
                f"output.labels has {len(output.labels)}, and the model gives {width} "
                f"{'class' if width == 1 else 'classes'}{one_logit}"
            )
        if output.variance_head and width % 2:
            raise ManifestError(f"output.variance_head: the model gives {width} values, which are no pairs")
        if self.default_samples == EXACT and self.inexact:
            raise ManifestError(
                f'sampling.samples is "exact", but the model {self.inexact}; say a number, 50 for example'
            )
        given = self.engine.predict(self.engine.example(2))
        try:
            self._outputs.check(given)
        except ModelError as cause:
            raise ManifestError(
                'output.activation is "none", but the model gives no probabilities: made-up rows gave '
                f"{[round(value, 3) for value in given[0, :4].tolist()]}; {self._way_to_probabilities(given)}"
            ) from cause
        if self._outputs.are_probabilities(given):
            raise ManifestError(
                'output.activation is "softmax", for logits, but the model gives probabilities: made-up rows '
                f'gave {[round(value, 3) for value in given[0, :4].tolist()]}; say "none"'
            )

    def _way_to_probabilities(self, given: Tensor) -> str:
        if (given >= 0).all() and (given <= 1).all():
            return (
                "these look like a sigmoid's, a probability of each label by itself, where those of classes "
                "add up to 1: if one label holds of each row, give the logits from before the sigmoid; "
                "several that hold at once are not served"
            )
        return 'if these are logits, say "softmax"'

    def _check_longest(self, reader: TextReader) -> None:
        """Refuse what a text could bring about: more tokens than the model has places for, or other ones."""
        try:
            self.engine.predict(reader.longest())
        except ModelError as cause:
            raise ManifestError(
                f"tokenizer.max_tokens: the model failed on a text of {reader.max_tokens} tokens, each the "
                f"tokenizer's last, {reader.highest}: {cause.detail or cause}"
            ) from cause


def _of_length(shape: Sequence[int], length: int) -> tuple[int, ...]:
    return tuple(length if size < 0 else size for size in shape)


def _reader(read: ReadModel) -> InputReader | TextReader:
    if read.manifest.tokenizer is None or read.tokenizer is None:
        return InputReader(read.manifest.input, read.manifest.columns)
    given = read.manifest.tokenizer.max_tokens, read.manifest.input, read.tokenizer
    if not read.manifest.per_token:
        return TextReader(*given)
    tokens = read.manifest.tokens
    return TokenReader(*given, words=tokens is not None and tokens.labelled == "first_of_word")


def _policy(manifest: Manifest, version: int) -> Policy:
    names = score_names(manifest.task)
    if manifest.policy.measure not in names:
        raise ManifestError(f"policy.measure {manifest.policy.measure!r} is none of {', '.join(names)}")
    return Policy(manifest.name, version, manifest.policy.measure, manifest.policy.threshold)


def prepare(read: ReadModel, execution: Execution) -> ServedModel:
    """Make a model ready; the text of every LoadError begins with the file or folder it is about."""
    try:
        with models_errors(read.folder):
            return ServedModel(read, execution)
    except ManifestError as cause:
        raise ManifestError(f"{read.manifest_path}: {cause}") from cause
    except ModelError as cause:
        raise ModelRefused(f"{read.folder}: {in_full(cause)}") from cause
    except LoadError as cause:
        named = str(cause).startswith(str(read.folder))
        raise type(cause)(str(cause) if named else f"{read.folder}: {cause}") from cause
