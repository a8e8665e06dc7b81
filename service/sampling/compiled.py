"""Code compiled for shapes that are asked for again and again.

A pass is traced once into a graph of plain operations (no module, hook or interception is left of it) and
compiled by TorchInductor. That takes seconds to minutes, so it happens in a thread of its own, for shapes on
which requests have spent some time; until it is done, and verified, and found to be faster, others serve.
On CPU it needs a C++ compiler at run time. Compiled code is kept on disk by torch (TORCHINDUCTOR_CACHE_DIR).
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from service.errors import words_of
from service.sampling.comparison import same_samples
from service.sampling.layout import Layout, Work
from service.sampling.names import COMPILED, LOW
from service.sampling.plans import Plan, Vmap
from service.sampling.precision import affordable, shares
from service.sampling.stochastic import Inputs
from service.sampling.timing import timed
from service.sampling.tracing import keep_tracing_to_its_thread

_LOG = logging.getLogger("unsure")

_MOST_COMPILED = 16  # shapes of one model
_LARGEST_PACKED = 64 << 20  # bytes of weights: packing them for the processor makes a copy for every shape
_REPEATS = 5
_WORTH = 0.9  # of the time of the plan it stands for: what is nearer to it, measuring cannot tell from it
COMPILING = "compile"
"""The name of the thread that compiles."""

_ONE_AT_A_TIME = threading.Lock()  # of all models: compiling takes the processors that requests want

Shape = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Key:
    """What compiled code is for.

    Args:
        base: the plan that is compiled.
        row_shapes: of the inputs.
        rows: a power of two; fewer are padded.
        samples: of a chunk.
    """

    base: str
    row_shapes: Shape
    rows: int
    samples: int


@dataclass(frozen=True)
class Code:
    """A compiled pass.

    Args:
        run: (inputs, batch) → outputs [samples, rows, …].
        ratio: its time to that of the plan it stands for, measured when it was made.
    """

    run: Callable[[Inputs, Any], Tensor]
    ratio: float


class Compiled:
    """Runs compiled code where there is some, and makes it where it pays.

    Args:
        bases: plans that can be compiled, by name.
        reference: what compiled code is held against.
        ranking: gives the plans for a layout and a number of rows, fastest first.
        after_seconds: how long requests of a shape have run before it is compiled; None for never.

    Attributes:
        failed: why a shape was given up.
    """

    name = COMPILED

    def __init__(
        self,
        bases: dict[str, Vmap],
        reference: Plan,
        ranking: Callable[[Layout, int], Sequence[str]],
        after_seconds: float | None,
    ) -> None:
        self._bases = bases
        self._reference = reference
        self._ranking = ranking
        self._after_seconds = after_seconds
        self._spent: dict[Key, float] = {}
        self._codes: dict[Key, Code] = {}
        self._begun: set[Key] = set()
        self._lock = threading.Lock()
        self.failed: dict[Key, str] = {}

    @property
    def ratios(self) -> dict[Key, float]:
        """What there is code for, and its time as a share of that of the plan it stands for."""
        return {key: code.ratio for key, code in self._codes.items()}

    def takes(self, work: Work) -> bool:
        """Take what there is code for, unless padding costs more than compiling saved."""
        key = self.key(work)
        code = self._codes.get(key) if key else None
        return code is not None and key is not None and code.ratio * key.rows < _WORTH * work.rows

    def sample_row_bytes(self, layout: Layout) -> int:
        """Tell what one row of one more sample adds to the largest tensor."""
        return layout.sample_row_bytes

    def run(self, work: Work) -> Tensor:
        """Run the code for this work."""
        key = self.key(work)
        assert key is not None  # noqa: S101  # such work is not taken
        padded = tuple(_padded(tensor, key.rows) for tensor in work.inputs)
        outputs = self._codes[key].run(padded, self._bases[key.base].batch(work))[:, : work.rows]
        return outputs.clone() if outputs.is_cuda else outputs  # a CUDA graph writes to one place each time

    def note(self, work: Work, seconds: float) -> None:
        """Learn how long some work took without compiled code; makes code once that is long enough."""
        key = self.key(work)
        if key is None or self._after_seconds is None:
            return
        with self._lock:
            self._spent[key] = self._spent.get(key, 0.0) + seconds
            enough = self._spent[key] >= self._after_seconds
            compiling = self._begun - self.failed.keys()
            if not enough or key in self._begun or len(compiling) >= _MOST_COMPILED:
                return
            self._begun.add(key)
        threading.Thread(target=self.compile, args=(work,), name=COMPILING, daemon=True).start()

    def key(self, work: Work) -> Key | None:
        """Name the code that work could run on; None where no plan that can be compiled takes it."""
        names = self._ranking(work.layout, work.rows)
        base = next((name for name in names if name in self._bases and self._bases[name].takes(work)), None)
        if base is None:
            return None
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in work.inputs)
        return Key(base, shapes, 1 << (work.rows - 1).bit_length(), len(work.networks.samples))

    def compile(self, work: Work) -> None:
        """Make code for work of this shape, verify it and measure it; gives up where anything is wrong."""
        key = self.key(work)
        if key is None:
            return
        try:
            with _ONE_AT_A_TIME:
                keep_tracing_to_its_thread()
                self._codes[key] = self._made(key, work)
        except Exception as cause:  # noqa: BLE001  # a compiler can fail in any way; nothing depends on it
            self.failed[key] = words_of(cause)
            _LOG.warning("compiling %s was given up, other plans serve on: %s", key, self.failed[key])

    @torch.no_grad()
    def _made(self, key: Key, work: Work) -> Code:
        inputs = tuple(_padded(tensor, key.rows).clone() for tensor in work.inputs)
        padded = Work(inputs, work.layout, work.networks)
        base = self._bases[key.base]
        batch = base.batch(padded)
        run = _compiled(base, padded, batch)
        given, expected = run(inputs, batch), self._reference.run(padded)
        low = key.base.endswith(LOW)
        if not (affordable(*shares(expected, given)) if low else same_samples(expected, given)):
            raise ValueError("compiled code differs from the loop")
        return Code(run, _ratio(lambda: run(inputs, batch), lambda: base.run(padded)))


def _compiled(base: Vmap, work: Work, batch: Any) -> Callable[[Inputs, Any], Tensor]:
    leaves, tree = tree_flatten(batch)
    number = len(work.inputs)

    def flat(*tensors: Tensor) -> Tensor:
        inputs, differing = tensors[:number], tree_unflatten(list(tensors[number:]), tree)
        return torch.func.vmap(lambda one: base.one(inputs, work.layout, one))(differing)

    # Fake tensors have no values: what a model decides by a value cannot be traced, and is given up.
    graph = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(*work.inputs, *leaves)
    weights = sum(tensor.nbytes for tensor in graph.parameters())
    code = _by_inductor(graph, [*work.inputs, *leaves], pack=weights <= _LARGEST_PACKED)

    def run(inputs: Inputs, given: Any) -> Tensor:
        made = code(*inputs, *tree_flatten(given)[0])
        output: Tensor = made if isinstance(made, Tensor) else made[0]
        return output

    return run


def _by_inductor(graph: torch.fx.GraphModule, tensors: list[Tensor], *, pack: bool) -> Callable[..., Any]:
    from torch import _inductor as inductor  # takes seconds, and not every server compiles

    options = {
        "freezing": pack,
        "triton.cudagraphs": tensors[0].is_cuda,
        "cpp.use_decompose_tanh": True,  # by one exp: a sixth of an LSTM's time, off by 1e-7 near 0
    }
    with inductor.config.patch(options):
        code: Callable[..., Any] = inductor.compile(graph, [*tensors])
        code(*tensors)
    return code


def _padded(tensor: Tensor, rows: int) -> Tensor:
    """Repeat the last row up to so many rows: a row that the model is known to take."""
    missing = rows - len(tensor)
    return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])]) if missing else tensor


def _ratio(run: Callable[[], Tensor], base: Callable[[], Tensor]) -> float:
    """Compare the times of two ways, in turns, so that a slow moment of the machine meets both."""
    return median(timed(run)[1] / timed(base)[1] for _ in range(_REPEATS))
