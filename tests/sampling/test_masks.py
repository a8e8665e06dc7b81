"""Masks: exact against the generator's definition, and as random as they must be."""

import threading
from hashlib import blake2b
from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.sampling.engine import Budgets, Engine
from service.sampling.masks import MaskStore, keep_masks, uniforms
from service.sampling.sites import RowDimension, Site

_WORD = 2**64 - 1


def philox(key: list[int], counter: list[int]) -> list[int]:
    """Philox-4x64-10 as the paper writes it: ten rounds, the key bumped by the Weyl sequence between them."""
    for round_number in range(10):
        if round_number:
            key = [(key[0] + 0x9E3779B97F4A7C15) & _WORD, (key[1] + 0xBB67AE8584CAA73B) & _WORD]
        high0, low0 = divmod(0xD2E7470EE14C6C93 * counter[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * counter[2], 2**64)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
    return counter


def reference_mask(seed: int, site: str, rate: float, units: int, sample: int) -> list[bool]:
    """One mask from its definition: block b of a sample is philox((seed, site), (b + 1, 0, 0, sample))."""
    key = [seed, int.from_bytes(blake2b(site.encode(), digest_size=8).digest(), "little")]
    halves: list[int] = []
    block = 1
    while len(halves) < units:
        for word in philox(key, [block, 0, 0, sample]):
            halves += [word & 0xFFFFFFFF, word >> 32]
        block += 1
    return [half >= round(rate * 2**32) for half in halves[:units]]


@given(seed=st.integers(0, 2**64 - 1), site=st.text(max_size=20), sixteenths=st.integers(0, 16))
def test_uniform_numbers_are_those_of_the_masks(seed: int, site: str, sixteenths: int) -> None:
    """Those at least p are what a mask of rate p keeps."""
    drawn = uniforms(seed, site, (30,), range(4, 5))[0]
    assert drawn.min() >= 0
    assert drawn.max() < 1
    rate = sixteenths / 16
    assert (drawn >= rate).tolist() == reference_mask(seed, site, rate, 30, 4)


@given(
    seed=st.integers(0, 2**64 - 1),
    site=st.text(max_size=20),
    rate=st.floats(0, 1),
    units=st.integers(1, 40),
    start=st.integers(0, 1000),
)
def test_masks_are_those_of_the_definition(seed: int, site: str, rate: float, units: int, start: int) -> None:
    masks = keep_masks(seed, site, rate, (units,), range(start, start + 3))
    expected = [reference_mask(seed, site, rate, units, sample) for sample in range(start, start + 3)]
    assert masks.tolist() == expected


def test_a_sample_is_the_same_in_every_range() -> None:
    whole = keep_masks(7, "head", 0.4, (3, 5), range(50))
    assert np.array_equal(whole[17:31], keep_masks(7, "head", 0.4, (3, 5), range(17, 31)))
    assert np.array_equal(whole[49:50], keep_masks(7, "head", 0.4, (3, 5), range(49, 50)))


@pytest.mark.parametrize(("rate", "expected"), [(0.0, True), (1.0, False)])
def test_certain_rates(rate: float, expected: bool) -> None:
    assert (keep_masks(1, "a", rate, (1000,), range(5)) == expected).all()


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_units_are_dropped_at_their_rate(rate: float) -> None:
    """The share kept is within 4 standard errors of 1 - rate over 2,000,000 units; seed 3."""
    kept = keep_masks(3, "site", rate, (10_000,), range(200))
    tolerance = 4 * sqrt(rate * (1 - rate) / kept.size)
    assert abs(kept.mean() - (1 - rate)) < tolerance


@pytest.mark.parametrize("axis", ["units", "samples", "sites", "seeds"])
def test_masks_are_independent(axis: str) -> None:
    """The correlation of masks that differ in one thing is within 4 standard errors (1/√n) of 0; seed 11."""
    kept = keep_masks(11, "a", 0.3, (1000,), range(400))
    pairs = {
        "units": (kept[:, :-1], kept[:, 1:]),
        "samples": (kept[:-1], kept[1:]),
        "sites": (kept, keep_masks(11, "b", 0.3, (1000,), range(400))),
        "seeds": (kept, keep_masks(12, "a", 0.3, (1000,), range(400))),
    }
    one, other = (side.ravel().astype(float) for side in pairs[axis])
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / sqrt(one.size)


def test_no_two_samples_share_a_mask() -> None:
    masks = keep_masks(5, "a", 0.5, (128,), range(2000))
    assert len({mask.tobytes() for mask in masks}) == 2000


def make_site(name: str = "a", units: int = 100, rate: float = 0.5) -> Site:
    return Site(name, name, "dropout", rate, (1, units), 1 / (1 - rate), 1.0, RowDimension(0))


def expected_scales(seed: int, site: Site, samples: range) -> torch.Tensor:
    return torch.from_numpy(
        keep_masks(seed, site.name, site.rate, site.mask_shape, samples)
    ).float().mul(site.kept_scale)  # fmt: skip


def test_the_store_gives_what_is_drawn() -> None:
    store = MaskStore(1 << 20, torch.device("cpu"))
    site = make_site(rate=0.25)
    for samples in (range(10), range(5, 30), range(3), range(100, 101)):
        assert torch.equal(store.factors(9, site, samples, samples.stop), expected_scales(9, site, samples))


def test_the_store_draws_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[range] = []

    def counted(seed: int, site: str, rate: float, shape: tuple[int, ...], samples: range) -> np.ndarray:
        drawn.append(samples)
        return keep_masks(seed, site, rate, shape, samples)

    monkeypatch.setattr("service.sampling.masks.keep_masks", counted)
    store = MaskStore(1 << 20, torch.device("cpu"))
    site = make_site()
    store.factors(1, site, range(10), 50)
    store.factors(1, site, range(10, 50), 50)
    store.factors(1, site, range(20, 60), 60)
    assert drawn == [range(50), range(50, 60)]


def test_the_store_keeps_to_its_budget() -> None:
    """A site of 400 bytes a sample: many seeds are forgotten in turn, and what is not kept is the same."""
    store = MaskStore(100_000, torch.device("cpu"))
    site = make_site()
    for seed in range(40):
        store.factors(seed, site, range(50), 50)
        store.factors(0, site, range(60), 60)
        assert store.kept_bytes <= 100_000
        assert store.kept_bytes == sum(kept.nbytes for kept in store._kept.values())
    before = store.kept_bytes
    assert torch.equal(
        store.factors(99, site, range(4990, 5000), 0), expected_scales(99, site, range(4990, 5000))
    )
    assert store.kept_bytes == before


def test_what_is_worth_keeping_is_judged_for_all_sites_of_a_request() -> None:
    store = MaskStore(100_000, torch.device("cpu"))
    sites = [make_site(str(number)) for number in range(3)]
    assert store.worth_keeping(sites[:1], 62)
    assert not store.worth_keeping(sites[:1], 63)
    assert store.worth_keeping(sites, 20)
    assert not store.worth_keeping(sites, 21)


@pytest.mark.parametrize("units", [32, 4096])
def test_a_request_draws_each_mask_once_however_many_sites_and_chunks(
    monkeypatch: pytest.MonkeyPatch, units: int
) -> None:
    """Six sites whose masks fit the budget, or do not: nothing is drawn twice, nor kept beyond it."""
    drawn: list[int] = []

    def counted(seed: int, site: str, rate: float, shape: tuple[int, ...], samples: range) -> np.ndarray:
        drawn.append(len(samples) * int(np.prod(shape)))
        return keep_masks(seed, site, rate, shape, samples)

    model = torch.nn.Sequential(*[torch.nn.Dropout(0.1) for _ in range(6)])
    engine = Engine(
        model, [[units]], [torch.float32], budgets=Budgets(masks_bytes=500_000, chunk_bytes=64 * units)
    )
    monkeypatch.setattr("service.sampling.masks.keep_masks", counted)
    for _chunk in engine.samples((torch.randn(2, units),), 5, range(50)):
        assert engine._masks.kept_bytes <= 500_000
    assert sum(drawn) == 6 * 50 * units


def test_the_store_serves_several_threads() -> None:
    store = MaskStore(60_000, torch.device("cpu"))
    site = make_site()
    wrong: list[int] = []

    def ask(thread: int) -> None:
        for turn in range(50):
            seed, stop = (thread + turn) % 7, 1 + (turn * 13) % 60
            if not torch.equal(
                store.factors(seed, site, range(stop), stop), expected_scales(seed, site, range(stop))
            ):
                wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
