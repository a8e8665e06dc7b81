"""Many requests at once: each is answered as if it were alone, whatever the others are."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
from alike import IN_PASSING, assert_alike
from fuzzing import PATIENCE_SECONDS, Fuzzed, cases
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Json = dict[str, Any]
Asked = tuple[str, Json]

_WORDS = IN_PASSING | {"request_id"}  # another in each answer


@st.composite
def asked(draw: Callable[..., Any]) -> Asked:
    """A good request: its path and body. Few models and seeds, so that many meet."""
    model = draw(st.sampled_from(["small", "small", "pair", "exact", "noisy", "words"]))
    values = np.random.default_rng(draw(st.integers(0, 999)))
    inputs = _rows(model, draw(st.integers(1, 9)), values)
    if draw(st.integers(0, 5)) == 0:
        return f"/v1/models/{model}/predict", {"inputs": inputs}
    body = {"inputs": inputs, "seed": draw(st.sampled_from([0, 1, 7, 2**64 - 1])), "samples": draw(_SAMPLES)}
    body |= draw(st.fixed_dictionaries({}, optional={"threshold": st.floats(0, 1.2), "include": _INCLUDE}))
    return f"/v1/models/{model}/uncertainty", body


_SAMPLES = st.integers(2, 60) | st.tuples(st.integers(2, 16), st.integers(16, 80)).map(
    lambda pair: {"min": pair[0], "max": pair[1]}
)
_INCLUDE = st.lists(st.sampled_from(["samples", "quantiles"]), unique=True)


def _rows(model: str, count: int, values: np.random.Generator) -> Any:
    if model == "words":
        return [values.integers(0, 9, values.integers(1, 4)).tolist() for _ in range(count)]
    if model == "pair":
        left, right = values.normal(size=(count, 3)), values.integers(0, 9, (count, 2))
        return {"left": left.tolist(), "right": right.tolist()}
    return values.normal(size=(count, 6)).tolist()


async def answers(server: Fuzzed, requests: list[Asked], *, together: bool) -> list[Json]:
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS, limits=limits) as client:
        posts = [client.post(path, json=body) for path, body in requests]
        received = await asyncio.gather(*posts) if together else [await post for post in posts]
    for answer in received:
        assert answer.status_code == 200, answer.text
    return [answer.json() for answer in received]


# Not made smaller when it fails: which requests meet differs from run to run.
@settings(
    max_examples=cases(15),
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(asked(), min_size=8, max_size=24))
def test_each_is_answered_as_if_it_were_alone(fuzzed: Fuzzed, requests: list[Asked]) -> None:
    alone = asyncio.run(answers(fuzzed, requests, together=False))
    together = asyncio.run(answers(fuzzed, requests, together=True))
    for given_, expected in zip(together, alone, strict=True):
        assert_alike(given_, expected, rtol=1e-6, ignored=_WORDS)
