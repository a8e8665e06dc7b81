"""What the OpenAPI document allows, and what it does not, asked of a server: every answer is as it says."""

import pytest
from documented import ask, checks, modes, operations
from fuzzing import Fuzzed, cases

CASES = 240
LEAST = 5000


@pytest.fixture(scope="module")
def document(fuzzed: Fuzzed) -> dict[str, object]:
    with fuzzed.client() as client:
        found: dict[str, object] = client.get("/openapi.json").json()
    return found


def test_every_operation_answers_as_documented(
    fuzzed: Fuzzed, document: dict[str, object], subtests: pytest.Subtests
) -> None:
    """Whatever is asked: statuses, media types and bodies of the document, and 200 for nothing malformed."""
    described = operations(document)
    assert len(described) * CASES >= LEAST
    for operation in described:
        ways = modes(operation)
        for mode in ways:
            count = cases(CASES // len(ways))
            with subtests.test(operation=operation.label, mode=mode.value):
                assert ask(fuzzed, operation, mode, count, [checks.negative_data_rejection]) >= count
