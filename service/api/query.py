"""Query strings, read as strictly as bodies."""

from typing import TypeVar

import msgspec
from starlette.requests import Request

from service.errors import InvalidInput

Query = TypeVar("Query", bound=msgspec.Struct)


def read_query(request: Request, kind: type[Query]) -> Query:
    """Read the query of a request.

    Raises:
        InvalidInput: it has a parameter that there is not, or one twice, or a value that is none.
    """
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"the query has {twice[:40]!r} twice; give it once")
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as cause:
        text = str(cause)
        raise InvalidInput(f"the query: {text[0].lower()}{text[1:]}") from cause
