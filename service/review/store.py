"""The queue in its database. Every call blocks: none is for the thread of an event loop."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from sqlalchemy import Connection, Table, case, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.errors import Conflict, InvalidInput, NotFound
from service.review.database import Database
from service.review.identifiers import Identifiers, first_identifier, is_identifier, time_of
from service.review.items import Item, Row
from service.review.labels import Labelled, Problems
from service.review.paging import Filter, Order, behind, cursor, ordering, standing
from service.review.records import entering, item_of, standing_of
from service.review.schema import ITEMS, OPEN_AUDITS
from service.review.steps import Verdict, claimed, labelled, released, resolved

log = logging.getLogger("unsure")

_DAY_SECONDS = 86_400.0

_INSERT: Mapping[str, Callable[[Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_AT_ONCE = 500  # identifiers asked for in one statement


@dataclass(frozen=True)
class Page:
    """Some items, and the cursor of those behind them; None where there are none."""

    items: list[Item]
    next_cursor: str | None


@dataclass(frozen=True)
class Tally:
    """How many items of one version stand where, and how many resolutions agree with the model."""

    model: str
    version: str
    pending: int
    claimed: int
    resolved: int
    agreed: int


@dataclass(frozen=True)
class Audit:
    """What people have said of rows that a policy did not flag, of those that entered by chance.

    Args:
        policy_id: of the policy.
        labelled: how many people have looked at.
        wrong: how many of these the model had wrong.
    """

    policy_id: str
    labelled: int
    wrong: int


class Store:
    """Keeps items.

    Args:
        database: where.
        lease_seconds: how long a claim holds.
        clock: tells the time, in seconds since 1970.
        steady_seconds: tells for how long the clock has not jumped.
    """

    def __init__(
        self,
        database: Database,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
        steady_seconds: Callable[[], float] = lambda: inf,
    ) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._steady_seconds = steady_seconds
        self._identifiers = Identifiers()

    @property
    def now(self) -> float:
        """The time by which claims lapse."""
        return self._clock()

    def open(self) -> None:
        """Make the tables, or bring them up to date; what is asked later would do it too.

        Raises:
            Unavailable: the database does not answer; so does everything below.
        """
        with self._database.reading():
            pass

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def enter(self, rows: Sequence[Row]) -> list[str]:
        """Take rows in, all or none; gives each one's identifier, that of before where it is here already."""
        if not rows:
            return []
        now = self.now
        records = [entering(self._identifiers.new(now), now, row) for row in rows]
        prints = [record["fingerprint"] for record in records]
        added = _INSERT[self._database.dialect](ITEMS).on_conflict_do_nothing(index_elements=["fingerprint"])
        with self._database.writing() as connection:
            # In one order in all processes: two that wait for each other's rows would wait for ever.
            connection.execute(added, sorted(records, key=lambda record: record["fingerprint"]))
            known = _identifiers(connection, prints)
        return [known[one] for one in prints]

    def item(self, identifier: str) -> Item:
        """Give an item.

        Raises:
            NotFound: there is none of that identifier.
        """
        with self._database.reading() as connection:
            return _found(connection, identifier)

    def claim(self, identifier: str, reviewer: str) -> Item:
        """Let a reviewer have an item for a while; raises as `service.review.steps.claimed` does."""
        return self._step(identifier, lambda item, now: claimed(item, reviewer, now, self._lease_seconds))

    def release(self, identifier: str, reviewer: str | None) -> Item:
        """Let all have an item again; raises as `service.review.steps.released` does."""
        return self._step(identifier, lambda item, now: released(item, reviewer, now))

    def resolve(self, identifier: str, reviewer: str, verdict: Verdict) -> Item:
        """Write down what a reviewer says; raises as `service.review.steps.resolved` does."""
        return self._step(identifier, lambda item, now: resolved(item, reviewer, verdict, now))

    def resolve_all(
        self,
        labels: Sequence[Labelled],
        check: Callable[[Item, Verdict], Verdict] = lambda _item, verdict: verdict,
    ) -> int:
        """Write down what reviewers say of many items, all or none.

        Args:
            labels: each of another item.
            check: gives a verdict in the words of the item's model; raises InvalidInput where it cannot be.

        Returns:
            How many were not resolved so before.

        Raises:
            InvalidInput: the text names the lines that are wrong.
        """
        problems, changed = Problems(), 0
        with self._database.writing() as connection:
            # In one order in all processes: two that wait for each other's items would wait for ever.
            for one in sorted(labels, key=lambda one: one.id):
                try:
                    changed += self._label(connection, one, check)
                except (NotFound, Conflict, InvalidInput) as problem:
                    problems.add(one.line, problem)
            problems.check()
        return changed

    def page(self, wanted: Filter, order: Order, limit: int, after: str | None = None) -> Page:
        """Give some items.

        Args:
            wanted: which.
            order: the most uncertain first, or the oldest.
            limit: the most.
            after: the cursor of the page before.

        Raises:
            InvalidInput: the cursor is none of this order.
        """
        query = select(ITEMS).where(*wanted.conditions(self.now)).order_by(*ordering(order)).limit(limit + 1)
        if after is not None:
            query = query.where(behind(order, after))
        with self._database.reading() as connection:
            items = [item_of(found) for found in connection.execute(query).mappings()]
        more = len(items) > limit
        return Page(items[:limit], cursor(order, items[limit - 1]) if more else None)

    def tallies(self) -> list[Tally]:
        """Count the items of each version."""
        now = self.now
        counted = [
            func.sum(case((condition, 1), else_=0))
            for condition in (
                standing("pending", now),
                standing("claimed", now),
                standing("resolved", now),
                ITEMS.c.agreed.is_(True),
            )
        ]
        versions = (ITEMS.c.model, ITEMS.c.version)
        query = select(*versions, *counted).group_by(*versions).order_by(*versions)
        with self._database.reading() as connection:
            return [Tally(*found) for found in connection.execute(query)]

    def audits(self) -> list[Audit]:
        """Count the labelled audit rows of each policy."""
        wrong = func.sum(case((ITEMS.c.agreed.is_(False), 1), else_=0))
        labelled = (ITEMS.c.audit.is_(True), standing("resolved", self.now))
        query = select(ITEMS.c.policy_id, func.count(), wrong).where(*labelled).group_by(ITEMS.c.policy_id)
        with self._database.reading() as connection:
            return [Audit(*found) for found in connection.execute(query)]

    def audits_wait(self) -> bool:
        """Tell whether any audit row is not resolved yet."""
        with self._database.reading() as connection:
            return connection.execute(select(ITEMS.c.id).where(OPEN_AUDITS).limit(1)).first() is not None

    def forget(self, seconds: float, most: int) -> int:
        """Remove the oldest of the items of such an age, except what somebody holds; tells how many.

        A server that started with a clock that is years ahead would find everything old. So where the items
        tell of a pause of more than a day, and of half that age, before the last day, a clock that has not
        been steady for a day is not believed: nothing is removed until it has.
        """
        now = self.now
        if self._steady_seconds() < _DAY_SECONDS:
            yesterday = now - _DAY_SECONDS
            last = select(func.max(ITEMS.c.id)).where(ITEMS.c.id < first_identifier(yesterday))
            with self._database.reading() as connection:
                before: str | None = connection.execute(last).scalar()
            pause = 0.0 if before is None else yesterday - time_of(before)
            if pause > max(_DAY_SECONDS, seconds / 2):
                log.warning(
                    "nothing is removed from the review queue until the server has run for a day: "
                    "by the clock, no row entered for %.1f days; if that is wrong, set the clock",
                    pause / _DAY_SECONDS,
                )
                return 0
        free = or_(ITEMS.c.claim_expires.is_(None), ITEMS.c.claim_expires <= now)
        old = select(ITEMS.c.id).where(ITEMS.c.id < first_identifier(now - seconds), free)
        oldest = old.order_by(ITEMS.c.id).limit(most)
        with self._database.writing() as connection:
            return connection.execute(delete(ITEMS).where(ITEMS.c.id.in_(oldest))).rowcount

    def _label(
        self, connection: Connection, one: Labelled, check: Callable[[Item, Verdict], Verdict]
    ) -> bool:
        item = _found(connection, one.id, changing=True)
        changed = labelled(item, one.reviewer, check(item, one.verdict), self.now)
        if changed is not item:
            connection.execute(update(ITEMS).where(ITEMS.c.id == one.id).values(**standing_of(changed)))
        return changed is not item

    def _step(self, identifier: str, step: Callable[[Item, float], Item]) -> Item:
        with self._database.writing() as connection:
            item = step(_found(connection, identifier, changing=True), self.now)
            connection.execute(update(ITEMS).where(ITEMS.c.id == identifier).values(**standing_of(item)))
        return item


def _found(connection: Connection, identifier: str, *, changing: bool = False) -> Item:
    query = select(ITEMS).where(ITEMS.c.id == identifier)
    query = query.with_for_update() if changing else query
    found = connection.execute(query).mappings().first() if is_identifier(identifier) else None
    if found is None:
        raise NotFound(f"there is no review {identifier}")
    return item_of(found)


def _identifiers(connection: Connection, prints: Sequence[str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for start in range(0, len(prints), _AT_ONCE):
        some = ITEMS.c.fingerprint.in_(prints[start : start + _AT_ONCE])
        known |= dict(connection.execute(select(ITEMS.c.fingerprint, ITEMS.c.id).where(some)).all())
    return known
