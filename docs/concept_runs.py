"""What the pictures of docs/concepts.md show: measured on the tutorial's own network and rows."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.ndimage import rotate

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))

from selective_methods import CONFIDENCE, TARGET, Population, naive

from service.certification.selective import risk_coverage
from service.certification.thresholds import selective_risk, starting_threshold
from service.sampling.engine import Engine
from service.uncertainty.classification import ClassificationMeasures, ClassificationMoments, probabilities

ROOT = Path(__file__).parents[1]
SAMPLES, SEED = 50, 0
COUNTS = (2, 4, 8, 16, 32, 64, 128, 256, 512)
ANGLES = tuple(range(0, 91, 10))
CALIBRATIONS, ROWS, CHOOSING = 1000, 1000, 250

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Learned:
    """The tutorial's network, and the rows that were kept from it.

    Args:
        engine: with the network.
        images: [rows, 8, 8].
        labels: [rows].
    """

    engine: Engine
    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def learned() -> Learned:
    """Do what the tutorial does: write its files, and train."""
    page = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    with TemporaryDirectory() as name:
        folder = Path(name)
        for title, text in re.findall(r'```python title="([^"]+)"\n(.*?)```', page, re.DOTALL):
            (folder / title).write_text(text)
        subprocess.run([sys.executable, "train.py"], cwd=folder, check=True)
        return read(folder)


def read(folder: Path) -> Learned:
    """Read what the tutorial has left in its folder."""
    namespace: dict[str, Callable[[], torch.nn.Module]] = {}
    exec((folder / "my_network.py").read_text(), namespace)  # noqa: S102
    network = namespace["build"]()
    network.load_state_dict(load_file(folder / "my-digits.safetensors"))
    with np.load(folder / "heldout.npz") as rows:
        images, labels = rows["image"], rows["targets"].astype(np.int64)
    return Learned(Engine(network.eval(), [(8, 8)], [torch.float32]), images, labels)


def measured(
    learned: Learned, images: NDArray[np.float32], samples: int = SAMPLES, seed: int = SEED
) -> ClassificationMeasures:
    """Sample rows as the server does."""
    moments = ClassificationMoments(logits=True)
    for chunk in learned.engine.samples([torch.from_numpy(images)], seed, range(samples)):
        moments.update(chunk)
    return moments.measures()


def each_sample(learned: Learned, image: NDArray[np.float32]) -> Array:
    """Give the probabilities of each sample of one row, [samples, classes]."""
    chunks = learned.engine.samples([torch.from_numpy(image[None])], SEED, range(SAMPLES))
    return np.concatenate([probabilities(chunk, logits=True)[:, 0].numpy() for chunk in chunks])


def whole(learned: Learned, images: NDArray[np.float32]) -> Array:
    """Give the probabilities of the whole network, [rows, classes]."""
    outputs = learned.engine.predict([torch.from_numpy(images)])
    return np.asarray(probabilities(outputs, logits=True).numpy())


def turned(images: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """Turn every image about its middle."""
    return rotate(images, degrees, axes=(1, 2), reshape=False, order=1).astype(np.float32)


def three_kinds(learned: Learned) -> dict[str, NDArray[np.float32]]:
    """Choose a clear row, one between two classes, and one that the samples contradict each other about."""
    measures = measured(learned, learned.images)
    sidewise = turned(learned.images, 90)
    strange = measured(learned, sidewise)
    return {
        "a clear 5": learned.images[0],
        "between classes": learned.images[measures.expected_entropy.argmax()],
        "turned by 90°": sidewise[strange.mutual_information.argmax()],
    }


@dataclass(frozen=True)
class Spread:
    """How far means of T samples are from each other, and what the samples cost.

    Args:
        observed: standard deviation of the mean over seeds, for each T.
        told: √(variance / T) of one seed, for each T.
        milliseconds: of the processor for one row, for each T.
        one: of one prediction.
    """

    observed: Array
    told: Array
    milliseconds: Array
    one: float


def spread(learned: Learned, image: NDArray[np.float32], seeds: int = 100) -> Spread:
    """Ask about one row with many seeds."""
    rows = image[None]
    best = int(measured(learned, rows, 512).class_index[0])
    observed, told = [], []
    for count in COUNTS:
        found = [measured(learned, rows, count, seed) for seed in range(seeds)]
        observed.append(np.std([one.mean[0, best] for one in found], ddof=1))
        told.append(sqrt(np.mean([one.variance[0, best] for one in found]) / count))
    cost = [_milliseconds(lambda count=count: measured(learned, rows, count)) for count in COUNTS]
    one = _milliseconds(lambda: learned.engine.predict([torch.from_numpy(rows)]))
    return Spread(np.array(observed), np.array(told), np.array(cost), one)


@dataclass(frozen=True)
class Shifted:
    """What becomes of a promise when rows are turned.

    Args:
        threshold: that was certified on rows as they come.
        wrong: share of wrong rows among those not flagged, for each angle.
        flagged: share of flagged rows, for each angle.
    """

    threshold: float
    wrong: Array
    flagged: Array


def shifted(learned: Learned) -> Shifted:
    """Certify a threshold on half of the rows, and hold the other half, turned, against it."""
    half = len(learned.images) // 2
    measures = measured(learned, learned.images)
    scores, losses = measures.predictive_entropy, (measures.class_index != learned.labels).astype(float)
    choosing, certifying = slice(0, 68), slice(68, half)
    start = starting_threshold(scores[choosing], losses[choosing], half - 68, TARGET, CONFIDENCE)
    curve = risk_coverage(scores[certifying], losses[certifying])
    threshold = selective_risk(curve, start, TARGET, CONFIDENCE).value
    if threshold is None:
        raise SystemExit("nothing was certified: the picture of shifts needs a threshold")
    wrong, flagged = [], []
    for angle in ANGLES:
        found = measured(learned, turned(learned.images[half:], angle))
        kept = found.predictive_entropy <= threshold
        wrong.append((found.class_index != learned.labels[half:])[kept].mean())
        flagged.append(1 - kept.mean())
    return Shifted(threshold, np.array(wrong), np.array(flagged))


def risks() -> dict[str, Array]:
    """Calibrate a thousand times, with a naive threshold and with ours; gives the true risk of each."""
    population, generator = Population(), np.random.default_rng(1)
    found: dict[str, list[float]] = {"naive": [], "unsure": []}
    for _ in range(CALIBRATIONS):
        others = population.draw(CHOOSING, generator)
        scores, wrong = population.draw(ROWS, generator)
        start = starting_threshold(*others, ROWS, TARGET, CONFIDENCE)
        ours = selective_risk(risk_coverage(scores, wrong), start, TARGET, CONFIDENCE).value or 0.0
        found["naive"].append(population.risk(naive(scores, wrong)))
        found["unsure"].append(population.risk(ours))
    return {name: np.array(values) for name, values in found.items()}


def _milliseconds(work: Callable[[], object], times: Sequence[int] = range(100)) -> float:
    """Give the least time of the processor: other programs take none of it, and only some of its cache."""
    spent = []
    for _ in times:
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return 1000 * min(spent)
