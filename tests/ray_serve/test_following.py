"""Changes reach all replicas in one order, whatever comes between; how many replicas what waits asks for."""

from types import SimpleNamespace

import pytest

from service.errors import InvalidInput, Unavailable
from service.fleet.messages import Action
from service.ray_serve.autoscaling import PENDING_SAMPLES, QueueCost
from service.ray_serve.following import Following
from service.telemetry.replicas import of_replicas


class Replicas:
    """Replicas of one model in this process, with a ledger of their own."""

    def __init__(self, count: int) -> None:
        self.ledger: list[str] = []
        self.made: list[list[Action]] = [[] for _ in range(count)]
        self.failing: set[int] = set()
        self.members = [self.add(number) for number in range(count)]

    def add(self, number: int) -> Following:
        def apply(action: Action, _model: str) -> None:
            if number in self.failing:
                raise InvalidInput("weights are missing")
            self.made[number].append(action)

        return Following(len(self.ledger), self.since, self.record, self.spread, "small", apply)

    def since(self, known: int) -> tuple[list[str], int]:
        return self.ledger[known if known <= len(self.ledger) else 0 :], len(self.ledger)

    def record(self, action: str) -> int:
        self.ledger.append(action)
        return len(self.ledger)

    def spread(self) -> list[bool]:
        return [member.follow() for member in self.members]


def test_a_change_is_made_once_by_each() -> None:
    replicas = Replicas(3)
    replicas.members[1].unload("small")
    replicas.members[2].reload("small")
    assert replicas.made == [["unload", "reload"]] * 3


def test_where_the_one_that_is_asked_fails_nobody_is_told() -> None:
    replicas = Replicas(2)
    replicas.failing = {0}
    with pytest.raises(InvalidInput, match="weights are missing"):
        replicas.members[0].reload("small")
    assert replicas.ledger == []
    assert replicas.made == [[], []]


def test_how_many_could_not_is_told() -> None:
    replicas = Replicas(3)
    replicas.failing = {2}
    with pytest.raises(Unavailable, match=r"1 of 3 replicas could not reload small"):
        replicas.members[0].reload("small")


def test_a_change_that_came_between_is_made_in_its_turn() -> None:
    replicas = Replicas(2)
    replicas.ledger.append("unload")  # asked of the other, and on its way
    replicas.members[0].reload("small")
    assert replicas.made == [["reload", "unload", "reload"], ["unload", "reload"]]


def test_a_ledger_that_begins_anew_is_followed() -> None:
    replicas = Replicas(2)
    for _ in range(2):
        replicas.members[0].unload("small")
    replicas.ledger.clear()
    replicas.members[1].reload("small")
    assert [made[-1] for made in replicas.made] == ["reload", "reload"]


@pytest.mark.parametrize(
    ("pending", "wanted"), [({}, 0.0), ({"a": 500.0}, 0.5), ({"a": 4000.0, "b": 1000.0}, 5.0)]
)
def test_each_replica_has_its_share_of_what_waits(pending: dict[str, float], wanted: float) -> None:
    context = SimpleNamespace(aggregated_metrics={PENDING_SAMPLES: pending})
    assert QueueCost(samples_per_replica=1000)(context) == (wanted, {})
    assert QueueCost(samples_per_replica=1000)(SimpleNamespace(aggregated_metrics=None)) == (0, {})


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="samples_per_replica must be above 0, and is 0"):
        QueueCost(samples_per_replica=0)


def test_metrics_of_replicas_keep_their_own_series() -> None:
    text = b"# HELP rows_total Rows.\n# TYPE rows_total counter\nrows_total 2.0\n"
    assert of_replicas({"a": text, "b": text}).decode().splitlines() == [
        "# HELP rows_total Rows.",
        "# TYPE rows_total counter",
        'rows_total{replica="a"} 2.0',
        'rows_total{replica="b"} 2.0',
    ]
