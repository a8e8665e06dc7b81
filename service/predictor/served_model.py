"""One version of a model, ready to answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.errors import LoadError, ManifestError, ModelError
from service.flagging.policy import Policy
from service.predictor.answers import QUANTILES, ClassPrediction, Identity, ValuePrediction
from service.predictor.execution import Execution, choice_of, findings_of
from service.predictor.inputs import TORCH_DTYPES, InputReader
from service.predictor.rows import Inputs, Rows
from service.repository.findings import read_findings, write_findings
from service.repository.folder import ReadModel
from service.repository.manifest import Manifest
from service.sampling.engine import Engine
from service.sampling.executor import Usual
from service.uncertainty.classification import ClassificationMoments, probabilities
from service.uncertainty.regression import RegressionMoments, values_and_noise
from service.uncertainty.scores import Measures, score, score_names

_PROBABILITY_ROUNDING = 1e-3

Array = NDArray[Any]


@dataclass(frozen=True)
class Draw:
    """Which samples to run, and what to keep of them.

    Args:
        seed: which networks.
        samples: how many.
        outputs: whether to keep every sample's output.
        quantiles: whether to compute quantiles over the samples.
    """

    seed: int
    samples: int
    outputs: bool
    quantiles: bool


@dataclass(frozen=True)
class Sampled:
    """What samples gave.

    Args:
        measures: of all rows.
        scores: what the policy compares, [rows].
        outputs: probabilities or values, [samples, rows, width], where kept.
        quantiles: over the samples, by probability, [rows, width], where asked for.
    """

    measures: Measures
    scores: Array
    outputs: Array | None
    quantiles: Mapping[float, Array] | None


class ServedModel:
    """Ties a manifest's words to the engine's numbers.

    Args:
        read: the model as it was read.
        execution: how it is run.

    Raises:
        LoadError: it cannot be served as its manifest says.
    """

    def __init__(self, read: ReadModel, execution: Execution) -> None:
        self.manifest = manifest = read.manifest
        self.weights_sha256 = read.weights_sha256
        self.identity = Identity(manifest.name, str(read.version), manifest.output.labels)
        self.policy = _policy(manifest, read.version)
        self.inputs = InputReader(manifest.input)
        circumstances = execution.circumstances(read)
        found = read_findings(read.folder, circumstances)
        self.engine = Engine(
            read.module,
            shapes=[tensor.shape for tensor in manifest.input],
            dtypes=[TORCH_DTYPES[tensor.dtype] for tensor in manifest.input],
            selection=manifest.sampling.sites,
            device=execution.device,
            budgets=execution.budgets,
            ranges=[tensor.range for tensor in manifest.input],
            usual=Usual(manifest.sampling.seed, manifest.sampling.samples),
            pinned=execution.pinned,
            known=choice_of(found) if found else None,
            names=[tensor.name for tensor in manifest.input],
            output=manifest.output.name,
        )
        if found is None and self.engine.plans:
            write_findings(read.folder, findings_of(self.engine.plans, circumstances))
        self._check_output()

    def predict(self, rows: Rows) -> ClassPrediction | ValuePrediction:
        """Run the whole network on rows."""
        return rows.in_order(list(rows.run(self._predict)))

    def sample(self, rows: Rows, draw: Draw, proceed: Callable[[], None]) -> Sampled:
        """Run thinned networks on rows.

        Args:
            rows: of any number of shapes.
            draw: which samples.
            proceed: called before each chunk; raises where nobody waits any more.
        """
        parts = list(rows.run(lambda inputs: self._sample(inputs, draw, proceed)))
        outputs = [part.outputs for part in parts]
        joined = rows.in_order([replace(part, outputs=None) for part in parts])
        return replace(joined, outputs=rows.in_order(outputs, axis=1))

    def _predict(self, inputs: Inputs) -> ClassPrediction | ValuePrediction:
        outputs = self.engine.predict(inputs)
        self._check_probabilities(outputs)
        if self.manifest.task == "classification":
            return ClassPrediction(_finite(self._shown(outputs).cpu().numpy()))
        value, noise = values_and_noise(outputs, variance_head=self.manifest.output.variance_head)
        return ValuePrediction(
            _finite(value.cpu().numpy()), None if noise is None else _finite(noise.cpu().numpy())
        )

    def _sample(self, inputs: Inputs, draw: Draw, proceed: Callable[[], None]) -> Sampled:
        moments = self._moments()
        kept: list[Tensor] = []
        proceed()
        for outputs in self.engine.samples(inputs, draw.seed, range(draw.samples)):
            self._check_probabilities(outputs)
            moments.update(outputs)
            if draw.outputs or draw.quantiles:
                kept.append(self._shown(outputs).cpu())
            proceed()
        measures = moments.measures()
        scores = score(measures, self.policy.measure)
        for values in (*vars(measures).values(), scores):
            if isinstance(values, np.ndarray):
                _finite(values)
        every = torch.cat(kept).numpy() if kept else None
        return Sampled(
            measures,
            scores,
            outputs=every if draw.outputs else None,
            quantiles=_quantiles(every) if draw.quantiles and every is not None else None,
        )

    @property
    def shown_width(self) -> int:
        """How many probabilities or values the model gives for a row."""
        return self.engine.width // 2 if self.manifest.output.variance_head else self.engine.width

    def _moments(self) -> ClassificationMoments | RegressionMoments:
        if self.manifest.task == "classification":
            return ClassificationMoments(logits=self.manifest.logits)
        return RegressionMoments(variance_head=self.manifest.output.variance_head)

    def _shown(self, outputs: Tensor) -> Tensor:
        if self.manifest.task == "classification":
            return probabilities(outputs, logits=self.manifest.logits)
        return values_and_noise(outputs, variance_head=self.manifest.output.variance_head)[0]

    def _check_probabilities(self, outputs: Tensor) -> None:
        """Refuse what a classifier without logits gives in place of probabilities."""
        if self.manifest.task != "classification" or self.manifest.logits:
            return
        sums = self._shown(outputs).sum(-1)
        wrong = (outputs < -_PROBABILITY_ROUNDING).any(-1) | ((sums - 1).abs() > _PROBABILITY_ROUNDING)
        if wrong.any():
            row = int(wrong.reshape(-1, wrong.shape[-1]).any(0).nonzero()[0])
            raise ModelError("the model gave no probabilities", row=row)

    def _check_output(self) -> None:
        width, output = self.engine.width, self.manifest.output
        if self.manifest.task == "classification" and width != len(output.labels):
            raise ManifestError(
                f"output.labels has {len(output.labels)}, and the model gives {width} classes"
            )
        if output.variance_head and width % 2:
            raise ManifestError(f"output.variance_head: the model gives {width} values, which are no pairs")
        given = self.engine.predict(self.engine.example(2))
        try:
            self._check_probabilities(given)
        except ModelError as cause:
            raise ManifestError(
                'output.activation is "none", but the model gives no probabilities: made-up rows gave '
                f'{[round(value, 3) for value in given[0, :4].tolist()]}; if these are logits, say "softmax"'
            ) from cause


def _quantiles(outputs: Array) -> dict[float, Array]:
    return dict(zip(QUANTILES, np.quantile(outputs, QUANTILES, axis=0), strict=True))


def _policy(manifest: Manifest, version: int) -> Policy:
    names = score_names(manifest.task)
    if manifest.policy.measure not in names:
        raise ManifestError(f"policy.measure {manifest.policy.measure!r} is none of {', '.join(names)}")
    return Policy(manifest.name, version, manifest.policy.measure, manifest.policy.threshold)


def _finite(values: Array) -> Array:
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ModelError("the model gave NaN or infinity", row=int(np.argwhere(wrong)[0][0]))
    return values


def prepare(read: ReadModel, execution: Execution) -> ServedModel:
    """Make a model ready; the text of every LoadError begins with the file or folder it is about."""
    try:
        return ServedModel(read, execution)
    except ManifestError as cause:
        raise ManifestError(f"{read.manifest_path}: {cause}") from cause
    except LoadError as cause:
        raise type(cause)(f"{read.folder}: {cause}") from cause
