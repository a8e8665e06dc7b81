"""Every family of `models.zoo`: its sites, its samples against its own training mode, and its answers."""

from typing import Any

import pytest
import torch
from agreement import assert_close, assert_same_moments, sampled, train_mode
from repositories import Repository
from servers import Serve
from zoo_networks import FAMILIES, Family

from service.sampling.names import LOOP


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


# It drops elements of maps in branches with batch norm, as its paper does: of that the owner is told.
RESNET = {"batch_norm_later", "elements_of_maps"}


def test_the_audit_finds_every_site_and_little_to_say(family: Family) -> None:
    report = family.engine().report
    assert [(site.path, site.kind, site.rate, site.mask_shape) for site in report.sites] == family.sites
    assert {finding.code for finding in report.findings} == (
        RESNET if family is FAMILIES["resnet"] else set()
    )
    assert all(report.effect)


def test_moments_are_those_of_the_family_in_train_mode(family: Family) -> None:
    """Mean and variance of 1000 samples each; within 5 standard errors of their difference, seed 3."""
    inputs = family.rows(2)
    ours = sampled(family.engine(), inputs, range(1000), seed=3).double()
    plain = train_mode(family.network())
    torch.manual_seed(3)
    with torch.no_grad():
        theirs = torch.stack([plain(*inputs) for _ in range(1000)]).double()
    assert_same_moments(ours.numpy(), theirs.numpy(), standard_errors=5)


def test_every_plan_equals_the_loop(family: Family) -> None:
    engine, inputs = family.engine(), family.rows(5)
    loop = sampled(engine, inputs, range(20), seed=0, plan=LOOP)
    assert engine.plans is not None
    assert not engine.plans.refused
    for plan in engine.plans.by_rows[1]:
        assert_close(loop, sampled(engine, inputs, range(20), seed=0, plan=plan))


def entry(family: Family) -> dict[str, Any]:
    """Write what model.toml says of a family, besides where it is from."""
    if family.regression:
        policy = {"measure": "standard_deviation", "threshold": 1.0}
        return {"task": "regression", "output": {"variance_head": True}, "policy": policy}
    return {"output": {"labels": ["a", "b", "c"]}}


def test_it_is_served_from_a_repository(family: Family, repository: Repository, serve: Serve) -> None:
    repository.add(network=family.network(), source=family.source, input=[family.input], **entry(family))
    (rows,) = family.rows(2)
    question = {"inputs": rows.tolist(), "samples": 20, "seed": 3}
    answer = serve(factories="models.zoo").post("/v1/models/small/uncertainty", json=question)
    assert answer.status_code == 200, answer.text
    samples = sampled(family.engine(), (rows,), range(20), seed=3).double()
    expected = samples.chunk(2, -1)[0] if family.regression else samples.softmax(-1)
    means = [result["mean"] for result in answer.json()["results"]]
    assert torch.allclose(torch.tensor(means).double(), expected.mean(0), rtol=1e-4, atol=1e-6)
