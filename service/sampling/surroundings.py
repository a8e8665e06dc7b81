"""What stands around each site of a model: which layers make what it drops, and which take the rest."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from service.sampling.flow import Flow, Operation, Value
from service.sampling.recurrences import mark_recurrences

_LAYERS: frozenset[Operation] = frozenset({"convolution", "linear", "product", "embedding", "recurrent"})
_STOPS: frozenset[Operation] = _LAYERS | {"softmax"}
_SAME_UNITS: frozenset[Operation] = frozenset({"other", "norm"})


@dataclass(frozen=True)
class Surroundings:
    """What stands around one site.

    Args:
        share_of_parameters: of the model's parameters, those used after it, 0 to 1.
        made_by: the nearest layers behind it.
        taken_by: the nearest layers and sums ahead of it.
        on_maps: whether a convolution stands next to it with nothing between that moves its units.
        before_batch_norm: whether a batch norm follows: with no layer between, or at all.
        on_skip_path: whether it drops what a residual sum adds to its branch, there or between two blocks.
        one_step: whether only single steps, or other selected parts, of what it drops are used.
        on_output: whether what it drops is the model's output.
        last: whether no layer runs after those that take it.
        depth: the share of the convolutions that run before it, 0 to 1.
        attends: whether the model has attention.
    """

    share_of_parameters: float
    made_by: frozenset[Operation]
    taken_by: frozenset[Operation]
    on_maps: bool
    before_batch_norm: Literal["directly", "later"] | None
    on_skip_path: bool
    one_step: bool
    on_output: bool
    last: bool
    depth: float
    attends: bool


def surroundings(flow: Flow) -> Mapping[str, Surroundings]:
    """Tell what stands around each site of a recorded pass, by the site's name."""
    mark_recurrences(flow.values)
    graph = _Graph(flow)
    return {name: _around(graph, value) for name, value in flow.sites.items()}


class _Graph:
    """A record, to be walked both ways."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.takers: dict[Value, list[Value]] = {}
        for value in flow.values:
            for given in value.inputs:
                self.takers.setdefault(given, []).append(value)
        layers = [value for value in flow.values if value.varies and value.operation in _LAYERS]
        self.layers = [value.number for value in layers]
        self.convolutions = [value.number for value in layers if value.operation == "convolution"]
        self.attends = any(
            value.operation == "product" and ("scaled_dot" in value.name or _softened(value))
            for value in layers
        )
        norms = [value for value in flow.values if value.operation == "batch_norm"]
        self.before_norms = set(_reached(norms, lambda value: value.inputs))


def _around(graph: _Graph, site: Value) -> Surroundings:
    made = list(_nearest(_source(graph, site), lambda value: value.inputs))
    taken = list(_ahead(graph, site))
    layers = {value for value, _ in taken if value.operation in _LAYERS}
    after = len(graph.layers) - bisect_right(graph.layers, site.number)
    convolutions = bisect_right(graph.convolutions, site.number)
    return Surroundings(
        share_of_parameters=graph.flow.share_of_parameters(site),
        made_by=frozenset(value.operation for value, _ in made),
        taken_by=frozenset(value.operation for value, _ in taken),
        on_maps=any(value.operation == "convolution" and not moved for value, moved in made + taken),
        before_batch_norm=_batch_norm(graph, site, taken),
        on_skip_path=_on_skip_path(graph, site) or _on_stream(graph, site),
        one_step=_one_step(graph, site),
        on_output=_on_output(graph, site),
        last=after == len(layers),
        depth=convolutions / max(1, len(graph.convolutions)),
        attends=graph.attends,
    )


def _source(graph: _Graph, site: Value) -> list[Value]:
    """Find what is dropped: a site's input, or what is multiplied with it where it is only a mask."""
    if site.varies:
        return site.inputs
    masked = _reached([site], lambda value: graph.takers.get(value, ()), lambda value: not value.varies)
    return [given for value in masked if value.varies for given in value.inputs if given.varies]


def _nearest(
    start: Iterable[Value],
    onwards: Callable[[Value], Iterable[Value]],
    stops: frozenset[Operation] = _STOPS,
) -> Iterator[tuple[Value, bool]]:
    """Walk to the nearest layers, and tell whether units were moved on the way there."""
    seen: set[Value] = set()
    waiting = [(value, False) for value in start]
    while waiting:
        value, moved = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if value.operation in stops:
            yield value, moved
        else:
            waiting += [(other, moved or value.moved) for other in onwards(value)]


_AHEAD: frozenset[Operation] = _STOPS | {"add", "batch_norm"}


def _ahead(graph: _Graph, start: Value) -> Iterator[tuple[Value, bool]]:
    def onwards(value: Value) -> list[Value]:
        # Where a value was written into an older one, whoever took that before is not ahead.
        return [taker for taker in graph.takers.get(value, ()) if _is_ahead(graph, taker, start)]

    return _nearest(onwards(start), onwards, _AHEAD)


def _is_ahead(graph: _Graph, value: Value, start: Value) -> bool:
    return value.number > start.number or start in value.inputs or value in graph.flow.outputs


def _batch_norm(
    graph: _Graph, site: Value, taken: Iterable[tuple[Value, bool]]
) -> Literal["directly", "later"] | None:
    if site not in graph.before_norms:
        return None
    return "directly" if any(value.operation == "batch_norm" for value, _ in taken) else "later"


def _on_output(graph: _Graph, site: Value) -> bool:
    """Tell whether units of the site are units of the output, whatever is done to each by itself."""
    units = _reached(
        graph.flow.outputs, lambda value: value.inputs, lambda value: value.operation in _OF_OUTPUT
    )
    return site in units and site.varies


_OF_OUTPUT = _SAME_UNITS | {"softmax"}


def _on_skip_path(graph: _Graph, site: Value) -> bool:
    """Tell whether a sum adds what the site gives to a branch that was made of what the site was given."""
    fork = set(_reached(site.inputs, lambda value: value.inputs, lambda value: value.operation == "other"))
    fork = {value for value in fork if value.varies}
    return bool(fork) and any(
        _is_branch(other, fork, site) for total in _sums_of(graph, site) for other in total.inputs
    )


def _on_stream(graph: _Graph, site: Value) -> bool:
    """Tell whether it drops what one residual sum has made and the next adds as it is to a branch of it."""
    made_by = _reached(site.inputs, lambda value: value.inputs, lambda value: value.operation == "other")
    if not any(value.operation == "add" and _is_residual(value) for value in made_by):
        return False
    return any(_leads(other, {site}) for total in _sums_of(graph, site) for other in total.inputs)


def _is_residual(total: Value) -> bool:
    """Tell whether a sum adds something to what layers made of it."""
    given = [value for value in total.inputs if value.varies]
    return any(
        _leads(branch, set(_as_it_is(skipped)))
        for skipped in given
        for branch in given
        if branch is not skipped
    )


def _leads(value: Value, fork: set[Value]) -> bool:
    """Tell whether layers lead from the fork to a value, and not the fork itself."""
    if fork.intersection(_as_it_is(value)):
        return False
    return not fork.isdisjoint(_reached([value], lambda one: one.inputs))


def _as_it_is(value: Value) -> Iterator[Value]:
    """Walk back through what is done to each unit by itself, to what made the units."""
    return _reached([value], lambda one: one.inputs, lambda one: one.operation == "other")


def _one_step(graph: _Graph, site: Value) -> bool:
    """Tell whether nothing but parts selected from what it drops are used."""

    def onwards(value: Value) -> list[Value]:
        return [taker for taker in graph.takers.get(value, ()) if _is_ahead(graph, taker, site)]

    def whole(value: Value) -> bool:
        return value.name != "select" and value.operation in _WHOLE

    used = _reached([site], onwards, whole)
    return all(value.name == "select" or (whole(value) and value not in graph.flow.outputs) for value in used)


_WHOLE: frozenset[Operation] = frozenset({"site", "other"})


def _sums_of(graph: _Graph, site: Value) -> Iterator[Value]:
    for value, _ in _nearest([site], lambda value: _same_units_ahead(graph, value), frozenset({"add"})):
        yield value


def _same_units_ahead(graph: _Graph, value: Value) -> list[Value]:
    allowed = {"other", "add"}
    return [taker for taker in graph.takers.get(value, ()) if taker.operation in allowed]


def _is_branch(value: Value, fork: set[Value], site: Value) -> bool:
    """Tell whether layers lead from the fork to a value, not by way of the site."""
    first = min(member.number for member in fork)

    def behind(one: Value) -> list[Value]:
        return [given for given in one.inputs if given is not site and given.number >= first]

    as_it_is = set(_reached([value], behind, lambda one: one.operation == "other"))
    if value is site or site in as_it_is or as_it_is & fork:
        return False
    return any(reached in fork for reached in _reached([value], behind))


def _reached(
    start: Iterable[Value],
    onwards: Callable[[Value], Iterable[Value]],
    through: Callable[[Value], bool] = lambda _value: True,
) -> Iterator[Value]:
    """Walk from values as far as it goes; where a value does not let through, it is the last of its way."""
    seen: set[Value] = set()
    waiting = list(start)
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        yield value
        if through(value):
            waiting += onwards(value)


def _softened(product: Value) -> bool:
    """Tell whether a factor of a product comes from a softmax, with nothing but elementwise between."""
    through = _SAME_UNITS | {"site"}
    return any(
        value.operation == "softmax"
        for value in _reached(product.inputs, lambda one: one.inputs, lambda one: one.operation in through)
    )
