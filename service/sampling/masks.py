"""Dropout masks from (seed, site, sample): the same on every machine, device and batch.

The generator is Philox-4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), a
counter-based one: its output is a pure function of a key and a counter. The key is (seed, site), the
counter's highest word is the sample, and the lower words count along the mask. So sample t is the same
whatever the number of samples, no site shares a stream with another, and nothing is ever in an order.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.sampling.sites import Site

_WORDS_PER_BLOCK = 4  # Philox-4x64 gives four 64-bit words for one value of the counter
_UNITS_PER_BLOCK = 2 * _WORDS_PER_BLOCK  # a unit takes 32 bits: a rate is met to 2**-32
_BLOCKS_PER_SAMPLE = 1 << 192


def keep_masks(seed: int, site: str, rate: float, shape: Sequence[int], samples: range) -> NDArray[np.bool_]:
    """Draw which units each sample keeps.

    Args:
        seed: 0 to 2**64 - 1.
        site: the site's name; sites of different names are independent.
        rate: the probability that a unit is dropped, 0 to 1.
        shape: of one sample's mask.
        samples: which samples, a range of step 1.

    Returns:
        Boolean, [len(samples), *shape]; True is kept, with probability 1 - rate.
    """
    units = prod(shape)
    blocks = -(-units // _UNITS_PER_BLOCK)
    # A list that holds a number above 2**63 would become floating point, and lose its last bits.
    key = np.array([seed, _site_word(site)], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=np.array([0, 0, 0, samples.start], dtype=np.uint64))
    drawn = np.empty((len(samples), blocks * _UNITS_PER_BLOCK), dtype=np.uint32)
    for row in drawn:
        row[:] = generator.random_raw(blocks * _WORDS_PER_BLOCK).view(np.uint32)
        generator.advance(_BLOCKS_PER_SAMPLE - blocks)  # to the first block of the next sample
    kept = drawn[:, :units] >= np.uint64(round(rate * 2**32))
    return kept.reshape(len(samples), *shape)


def _site_word(site: str) -> int:
    return int.from_bytes(blake2b(site.encode(), digest_size=8).digest(), "little")


class MaskStore:
    """Masks made once and kept, least recently used out first.

    Args:
        budget_bytes: the most that is kept. Masks of one site that need more than a quarter of it are
            drawn for the call and forgotten, so many samples never grow the memory.
        device: where the masks are kept.
    """

    def __init__(self, budget_bytes: int, device: torch.device) -> None:
        self._budget_bytes = budget_bytes
        self._device = device
        self._kept: OrderedDict[tuple[int, Site], Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def scales(self, seed: int, site: Site, samples: range, horizon: int) -> Tensor:
        """Give the factors that units are multiplied by: 0 if dropped, `site.kept_scale` if kept.

        Args:
            seed: 0 to 2**64 - 1.
            site: where.
            samples: which samples, a range of step 1.
            horizon: how many samples the whole request will ask for, so that they are drawn at once.

        Returns:
            float32, [len(samples), *site.mask_shape], on the store's device.
        """
        with self._lock:
            kept = self._kept.get((seed, site))
            if kept is None or len(kept) < samples.stop:
                if max(horizon, samples.stop) * site.mask_bytes > self._budget_bytes // 4:
                    return self._draw(seed, site, samples)
                kept = self._extend(kept, seed, site, max(horizon, samples.stop))
            self._keep((seed, site), kept)
            return kept[samples.start : samples.stop]

    @property
    def kept_bytes(self) -> int:
        """How much is kept now."""
        return sum(kept.nbytes for kept in self._kept.values())

    def _extend(self, kept: Tensor | None, seed: int, site: Site, stop: int) -> Tensor:
        if kept is None:
            return self._draw(seed, site, range(stop))
        return torch.cat([kept, self._draw(seed, site, range(len(kept), stop))])

    def _keep(self, key: tuple[int, Site], kept: Tensor) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while self.kept_bytes > self._budget_bytes and len(self._kept) > 1:
            self._kept.popitem(last=False)

    def _draw(self, seed: int, site: Site, samples: range) -> Tensor:
        masks = keep_masks(seed, site.name, site.rate, site.mask_shape, samples)
        return torch.from_numpy(masks).to(self._device, torch.float32).mul_(site.kept_scale)
