"""What the OpenAPI document allows of a model, in the shapes that the model tells, has an answer."""

import pytest
from documented import GenerationMode, ask, checks, operations
from fuzzing import MODELS, Fuzzed, cases
from narrowed import narrowed

CASES = 30


@pytest.mark.parametrize("model", MODELS)
def test_whatever_is_allowed_is_answered(fuzzed: Fuzzed, model: str, subtests: pytest.Subtests) -> None:
    document = narrowed(fuzzed, model)
    for operation in operations(document):
        with subtests.test(operation=operation.label):
            also = [checks.positive_data_acceptance]
            assert ask(fuzzed, operation, GenerationMode.POSITIVE, cases(CASES), also) >= cases(CASES)
