"""Dropout masks from (seed, site, sample): the same on every machine, device and batch.

The generator is Philox-4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), a
counter-based one: its output is a pure function of a key and a counter. The key is (seed, site), the
counter's highest word is the sample, and the lower words count along the mask. So sample t is the same
whatever the number of samples, no site shares a stream with another, and nothing is ever in an order.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.sampling.kinds import UNIFORM
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
    kept = _words(seed, site, shape, samples) >= np.uint64(round(rate * 2**32))
    return np.asarray(kept)


def uniforms(seed: int, site: str, shape: Sequence[int], samples: range) -> NDArray[np.float32]:
    """Draw numbers from 0 to 1 (excluded), of 24 bits as torch's own: those at least p are kept at rate p.

    Args:
        seed: 0 to 2**64 - 1.
        site: the site's name.
        shape: of one sample's numbers.
        samples: which samples, a range of step 1.

    Returns:
        [len(samples), *shape].
    """
    return (_words(seed, site, shape, samples) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def site_factors(seed: int, site: Site, samples: range, device: torch.device | str = "cpu") -> Tensor:
    """Draw a site's factors: 0 if dropped, `site.kept_scale` if kept; or uniform numbers from 0 to 1.

    Returns:
        float32, [len(samples), *site.mask_shape].
    """
    if site.kind == UNIFORM.name:
        return torch.from_numpy(uniforms(seed, site.name, site.mask_shape, samples)).to(device)
    masks = keep_masks(seed, site.name, site.zeros, site.mask_shape, samples)
    return torch.from_numpy(masks).to(device, torch.float32).mul_(site.kept_scale)


def _words(seed: int, site: str, shape: Sequence[int], samples: range) -> NDArray[np.uint32]:
    """Run the generator: one word of 32 bits a unit, [len(samples), *shape]."""
    units = prod(shape)
    blocks = -(-units // _UNITS_PER_BLOCK)
    # A list that holds a number above 2**63 would become floating point, and lose its last bits.
    key = np.array([seed, _site_word(site)], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=np.array([0, 0, 0, samples.start], dtype=np.uint64))
    drawn = np.empty((len(samples), blocks * _UNITS_PER_BLOCK), dtype=np.uint32)
    for row in drawn:
        row[:] = generator.random_raw(blocks * _WORDS_PER_BLOCK).view(np.uint32)
        generator.advance(_BLOCKS_PER_SAMPLE - blocks)  # to the first block of the next sample
    return drawn[:, :units].reshape(len(samples), *shape)


def _site_word(site: str) -> int:
    return int.from_bytes(blake2b(site.encode(), digest_size=8).digest(), "little")


class MaskStore:
    """Masks made once and kept, least recently used out first.

    Args:
        budget_bytes: the most that is kept.
        device: where the masks are kept.
    """

    def __init__(self, budget_bytes: int, device: torch.device) -> None:
        self._budget_bytes = budget_bytes
        self._device = device
        self._kept: OrderedDict[tuple[int, Site], Tensor] = OrderedDict()
        self._lock = threading.Lock()
        self.kept_bytes = 0

    def worth_keeping(self, sites: Iterable[Site], samples: int) -> bool:
        """Tell whether all masks of a request take a quarter of the budget at most.

        Others are drawn chunk by chunk and forgotten: they would push out each other and all the rest.
        """
        return samples * sum(site.mask_bytes for site in sites) <= self._budget_bytes // 4

    def factors(self, seed: int, site: Site, samples: range, kept_samples: int) -> Tensor:
        """Give a site's factors, as `site_factors` draws them.

        Args:
            seed: 0 to 2**64 - 1.
            site: where.
            samples: which samples, a range of step 1.
            kept_samples: how many samples, from the first, to draw at once and keep; 0 for none.

        Returns:
            float32, [len(samples), *site.mask_shape], on the store's device.
        """
        if kept_samples < samples.stop:
            return self._draw(seed, site, samples)
        # All of the site: a model may drop at another rate where rows are longer, with a mask of one shape.
        key = (seed, replace(site, share_of_cost=0.0))
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or len(kept) < samples.stop:
                kept = self._extended(kept, seed, site, kept_samples)
                self._keep(key, kept)
            self._kept.move_to_end(key)
            return kept[samples.start : samples.stop]

    def _extended(self, kept: Tensor | None, seed: int, site: Site, stop: int) -> Tensor:
        if kept is None:
            return self._draw(seed, site, range(stop))
        return torch.cat([kept, self._draw(seed, site, range(len(kept), stop))])

    def _keep(self, key: tuple[int, Site], kept: Tensor) -> None:
        replaced = self._kept.get(key)
        self.kept_bytes += kept.nbytes - (0 if replaced is None else replaced.nbytes)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while self.kept_bytes > self._budget_bytes and len(self._kept) > 1:
            self.kept_bytes -= self._kept.popitem(last=False)[1].nbytes

    def _draw(self, seed: int, site: Site, samples: range) -> Tensor:
        return site_factors(seed, site, samples, self._device)
