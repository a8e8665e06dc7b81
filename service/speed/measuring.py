"""Answers of a model timed as the server computes them, beside the usual loop."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec
import torch
from torch import Tensor, nn

from service.errors import InvalidInput, ModelError, NoDropout, in_full
from service.inspection import load, read
from service.predictor.answers import EXACT, Exact
from service.predictor.drawing import check_rounds
from service.predictor.served_model import ServedModel
from service.predictor.together import Draw
from service.sampling.raised import model_error
from service.sampling.signature import Calling
from service.sampling.stochastic import Inputs
from service.sampling.timing import seconds
from service.sampling.trees import dropping_tree
from service.settings import Settings
from service.uncertainty.sequential import Rounds

USUAL_LENGTH = 64
_REPEATS = 7
_LONG_SECONDS = 20.0  # of all repeats: what takes longer is measured less often

Way = Callable[[], object]


class Timed(msgspec.Struct, frozen=True):
    """What requests of so many rows take, in seconds: medians.

    Args:
        rows: of a request.
        plan: that its samples run by; None where none are drawn.
        compiled: whether by compiled code.
        prediction: of the whole network, once.
        served: all samples and what is computed of them, without HTTP.
        usual_loop: as many calls of the network in training mode; None where nothing is drawn.
    """

    rows: int
    plan: str | None
    compiled: bool
    prediction: float
    served: float
    usual_loop: float | None


class Speed(msgspec.Struct, frozen=True):
    """What was measured of one version.

    Args:
        model: its name.
        version: its number.
        samples: of a row.
        device: that computed.
        threads: that torch had.
        timed: by number of rows.
    """

    model: str
    version: str
    samples: int | Exact
    device: str
    threads: int
    timed: tuple[Timed, ...]


@dataclass(frozen=True)
class Wanted:
    """What shall be measured.

    Args:
        model: its name.
        version: its number; the highest if None.
        rows: of a request, each.
        samples: of a row; as many as a request gets that does not say, if None.
        length: of a dimension of a row that may have any; the usual, or as many tokens as a text may have if
            those are fewer, if None.
    """

    model: str
    version: int | None
    rows: Sequence[int]
    samples: int | None
    length: int | None


def measured(
    settings: Settings, wanted: Wanted, watch: Callable[[Iterator[Timed], int], Iterator[Timed]]
) -> Speed:
    """Load a version as the server does, and measure it.

    Args:
        settings: of the operator; code is compiled at once, unless they say never.
        wanted: what.
        watch: shows how far it is, given what comes and how many.

    Raises:
        UnsureError: there is no such model or version, it cannot be served, it has nothing to sample, or it
            takes no such rows or samples.
    """
    model = load(settings, wanted.model, wanted.version)
    if not model.engine.report.can_sample:
        raise NoDropout(f"model {wanted.model} has no dropout to sample: there is nothing to compare")
    samples = _samples(model, wanted.samples)
    compiles = settings.compile_after_seconds > 0
    length = _length(model, wanted.length)
    bench = _Bench(model, _training(settings, wanted), samples, length, compiles=compiles)
    timed = tuple(watch(map(bench.timed, wanted.rows), len(wanted.rows)))
    return Speed(*model.identity.key, samples, str(model.engine.device), torch.get_num_threads(), timed)


def _samples(model: ServedModel, asked: int | None) -> int | Exact:
    """Say how many samples; of a model that samples adaptively the most that a row takes."""
    given = model.default_samples if asked is None else asked
    most = given.maximum if isinstance(given, Rounds) else given
    if most != EXACT:
        check_rounds(Rounds(most, most), model.manifest.sampling.max_samples)
    return most


def _length(model: ServedModel, asked: int | None) -> int:
    """Say how long rows are; a text has no more tokens than a request's may have."""
    tokenizer = model.manifest.tokenizer
    if tokenizer is None:
        return asked or USUAL_LENGTH
    if asked is not None and asked > tokenizer.max_tokens:
        most = f"{tokenizer.max_tokens} tokens at most"
        raise InvalidInput(f"--length {asked}: a text of model {model.identity.model} has {most}")
    return asked or min(USUAL_LENGTH, tokenizer.max_tokens)


def _training(settings: Settings, wanted: Wanted) -> tuple[nn.Module, Calling]:
    """Read the network anew, in training mode but for its norms, as whoever writes the loop has it."""
    found = read(settings, wanted.model, wanted.version)
    names = [tensor.name for tensor in found.manifest.input]
    return dropping_tree(found.module)[0], Calling(found.module, names, found.manifest.output.name)


class _Bench:
    """One version, and how it is asked.

    Args:
        model: as it is served.
        training: the same network in training mode, and how it is called.
        samples: of a row.
        length: of a dimension that may have any.
        compiles: whether code is compiled first.
    """

    def __init__(
        self,
        model: ServedModel,
        training: tuple[nn.Module, Calling],
        samples: int | Exact,
        length: int,
        *,
        compiles: bool,
    ) -> None:
        self._model = model
        self._training, self._calling = training[0].to(model.engine.device), training[1]
        self._samples = samples
        self._compiles = compiles
        self._length = length

    def timed(self, rows: int) -> Timed:
        """Measure requests of so many rows.

        Raises:
            ModelError: the model raised, in training mode or as it is served, or there is too little memory.
        """
        try:
            return self._timed(rows)
        except Exception as cause:
            raise ModelError(f"with {rows} rows {in_full(model_error(cause))}") from cause

    def _timed(self, rows: int) -> Timed:
        model, samples = self._model, self._samples
        read = model.made_up(rows, self._length).inputs
        network = read[: len(model.manifest.input)]  # of tokens, which of them have an answer comes last
        compiled = samples != EXACT and self._compiles and self._compiled(network, samples)
        ways: dict[str, Way] = {
            "prediction": lambda: model.predict(read),
            "served": lambda: self._served(read),
        }
        if samples != EXACT:
            ways["usual_loop"] = lambda: self._usual_loop(network, samples)
        taken = _in_turns(ways)
        plan = None if samples == EXACT else model.engine.plan(rows)
        return Timed(rows, plan, compiled, taken["prediction"], taken["served"], taken.get("usual_loop"))

    def _compiled(self, inputs: Inputs, samples: int) -> bool:
        try:
            self._model.engine.compile(inputs, self._seed, samples)
        except ModelError:  # a plan of its own is faster, or there is no compiler
            return False
        return True

    def _served(self, read: Inputs) -> object:
        if self._samples == EXACT:
            return self._model.drawn(read, EXACT, self._seed)
        draw = Draw(Rounds(self._samples, self._samples), self._model.policy.threshold)
        return self._model.drawn(read, draw, self._seed)

    @torch.inference_mode()
    def _usual_loop(self, inputs: Inputs, samples: int) -> Tensor:
        passes = (tuple(part.clone() for part in inputs) for _ in range(samples))
        return torch.stack([self._calling(self._training, one) for one in passes])

    @property
    def _seed(self) -> int:
        return self._model.manifest.sampling.seed


def _in_turns(ways: Mapping[str, Way]) -> dict[str, float]:
    """Time each way, in turns, so that a slow moment of the machine meets all; gives medians in seconds."""
    first = {name: seconds(way) for name, way in ways.items()}  # which warms up, and is not counted
    repeats = max(1, min(_REPEATS, int(_LONG_SECONDS / sum(first.values()))))
    taken = [{name: seconds(way) for name, way in ways.items()} for _ in range(repeats)]
    return {name: median(turn[name] for turn in taken) for name in ways}
