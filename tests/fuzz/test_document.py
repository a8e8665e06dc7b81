"""What the OpenAPI document allows, and what it does not, asked of a server: every answer is as it says."""

import pytest
from documented import ask, checks, modes, operations
from fuzzing import Fuzzed, cases

CASES = 240
INFER_CASES = 120  # take long to make up, and are asked in test_promises.py and test_infer_bodies.py too
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
    asked = 0
    for operation in operations(document):
        ways, whole = modes(operation), INFER_CASES if operation.path.endswith("/infer") else CASES
        for mode in ways:
            count = cases(whole // len(ways))
            with subtests.test(operation=operation.label, mode=mode.value):
                asked += ask(fuzzed, operation, mode, count, [checks.negative_data_rejection])
    assert asked >= cases(LEAST)
