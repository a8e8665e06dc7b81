"""The review queue on the native face: /v1/reviews."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import UNSET, Struct
from starlette.requests import Request
from starlette.responses import Response

from service.api.exchange import decode, read_body, reply
from service.api.guard import is_admin
from service.api.operations import Handler, Operation
from service.api.query import read_query
from service.api.review_blindness import check_filter, order_of
from service.api.review_export import JSON_LINES, exported
from service.api.review_views import review, review_list, review_stats
from service.api.review_wire import (
    ClaimBody,
    ExportQuery,
    ListQuery,
    ReleaseBody,
    ResolveBody,
    Review,
    ReviewList,
    ReviewStats,
)
from service.api.watched import watched_versions
from service.errors import Conflict, Forbidden, InvalidInput, NotFound, TooLarge, Unavailable
from service.labels import label_text
from service.predictor.catalogue import Catalogue
from service.review.items import Item
from service.review.paging import Filter
from service.review.queue import ReviewQueue
from service.review.steps import Verdict
from service.review.store import Store
from service.telemetry.reviews import ReviewTelemetry

Body = TypeVar("Body", bound=Struct)

_REVIEW = "/v1/reviews/{id}"


class ReviewFace:
    """Handlers of /v1/reviews.

    Args:
        queue: has the items; None where there is no queue.
        catalogue: knows the models' labels.
        telemetry: counts decisions.
        max_body_bytes: the largest body.
        draws_audits: whether rows that are not flagged enter the queue by chance.
    """

    def __init__(
        self,
        queue: ReviewQueue | None,
        catalogue: Catalogue,
        telemetry: ReviewTelemetry,
        max_body_bytes: int,
        *,
        draws_audits: bool,
    ) -> None:
        self._queue = queue
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._max_body_bytes = max_body_bytes
        self._draws_audits = draws_audits

    def operations(self) -> list[Operation]:
        """List what this face can be asked; what has a name comes before what has any identifier."""
        return [
            Operation(
                "GET",
                "/v1/reviews",
                "List reviews",
                self.list_,
                query=ListQuery,
                replies=(ReviewList,),
                errors=(InvalidInput, Forbidden, NotFound, Unavailable),
                scope="review",
            ),
            Operation(
                "GET",
                "/v1/reviews/export",
                "Export reviews",
                self.export,
                query=ExportQuery,
                media_type=JSON_LINES,
                streams_array=True,
                errors=(InvalidInput, Forbidden, NotFound, Unavailable),
                scope="review",
            ),
            Operation(
                "GET",
                "/v1/reviews/stats",
                "Count reviews",
                self.stats,
                replies=(ReviewStats,),
                errors=(NotFound, Unavailable),
                scope="review",
            ),
            Operation(
                "GET",
                _REVIEW,
                "Show a review",
                self.one,
                replies=(Review,),
                errors=(NotFound, Unavailable),
                scope="review",
            ),
            _step("claim", "Claim a review for a while", self.claim, ClaimBody),
            _step("release", "Give a claimed review back", self.release, ReleaseBody, body_required=False),
            _step("resolve", "Say what is right", self.resolve, ResolveBody),
        ]

    async def list_(self, request: Request) -> Response:
        """Answer GET /v1/reviews."""
        asked = read_query(request, ListQuery)
        wanted, blinds = _filter(asked), self._blinds(request)

        def listed(store: Store) -> ReviewList:
            blind = blinds(store)
            order = order_of(asked, blind=blind)
            page = store.page(wanted, order, asked.limit, asked.cursor or None)
            return review_list(page, order, store.now, blind=blind)

        return reply(await self._kept.ask(listed))

    async def export(self, request: Request) -> Response:
        """Answer GET /v1/reviews/export."""
        asked = read_query(request, ExportQuery)
        blind = await self._kept.ask(self._blinds(request))
        check_filter(asked, blind=blind)
        as_tasks = asked.format == "label-studio"
        return await exported(self._kept, _filter(asked), as_tasks=as_tasks, blind=blind)

    async def stats(self, _request: Request) -> Response:
        """Answer GET /v1/reviews/stats."""

        def counted(store: Store) -> ReviewStats:
            watched = watched_versions(self._catalogue.served(), store.audits(), self._telemetry.drift())
            return review_stats(store.tallies(), watched)

        return reply(await self._kept.ask(counted))

    async def one(self, request: Request) -> Response:
        """Answer GET /v1/reviews/{id}."""
        return await self._answered(request, Store.item)

    async def claim(self, request: Request) -> Response:
        """Answer POST …/claim."""
        reviewer = _text("reviewer", (await self._body(request, ClaimBody)).reviewer)
        return await self._answered(request, lambda store, id_: store.claim(id_, reviewer))

    async def release(self, request: Request) -> Response:
        """Answer POST …/release."""
        given = (await self._body(request, ReleaseBody)).reviewer
        reviewer = None if given is UNSET else _text("reviewer", given)
        return await self._answered(request, lambda store, id_: store.release(id_, reviewer))

    async def resolve(self, request: Request) -> Response:
        """Answer POST …/resolve."""
        body = await self._body(request, ResolveBody)
        reviewer, verdict = _text("reviewer", body.reviewer), _verdict(body)

        def resolved(store: Store, identifier: str) -> Item:
            known = self._labels(store.item(identifier))
            item = store.resolve(identifier, reviewer, verdict.in_words_of(known))
            if item.resolution is not None:
                self._telemetry.decided(agreed=item.resolution.agreed)
            return item

        return await self._answered(request, resolved)

    async def _answered(self, request: Request, question: Callable[[Store, str], Item]) -> Response:
        identifier, blinds = request.path_params["id"], self._blinds(request)

        def asked(store: Store) -> Review:
            return review(question(store, identifier), store.now, blind=blinds(store))

        return reply(await self._kept.ask(asked))

    def _blinds(self, request: Request) -> Callable[[Store], bool]:
        """Give what finds out whether an answer must not tell that an open review is an audit."""
        return lambda store: not is_admin(request) and (self._draws_audits or store.audits_wait())

    async def _body(self, request: Request, kind: type[Body]) -> Body:
        body = await read_body(request, self._max_body_bytes)
        return decode(body or b"{}", kind)

    @property
    def _kept(self) -> ReviewQueue:
        if self._queue is None:
            raise NotFound("this server keeps no review queue; UNSURE_REVIEW_URL names its database")
        return self._queue

    def _labels(self, item: Item) -> Sequence[str]:
        """Give the labels that may be said of an item; none where the model is not here to ask."""
        if item.row.task != "classification":
            return ()  # what is said of others is not of the model's labels
        try:
            return self._catalogue.find(item.row.model, int(item.row.version)).identity.labels
        except (NotFound, Unavailable):
            return ()


def _step(
    verb: str, summary: str, handler: Handler, body: type[Struct], *, body_required: bool = True
) -> Operation:
    return Operation(
        "POST",
        f"{_REVIEW}/{verb}",
        summary,
        handler,
        body,
        (Review,),
        (InvalidInput, NotFound, Conflict, TooLarge, Unavailable),
        body_required=body_required,
        scope="review",
    )


def _filter(asked: ListQuery | ExportQuery) -> Filter:
    status = None if asked.status == "any" else asked.status
    audit = None if asked.audit is UNSET else asked.audit
    return Filter(status, _text("model", asked.model) or None, audit)


def _verdict(body: ResolveBody) -> Verdict:
    return Verdict(
        label=None if body.label is UNSET else _text("label", label_text(body.label)),
        value=None if body.value is UNSET else body.value,
        note=_text("note", body.note),
    )


def _text(name: str, given: str) -> str:
    """Refuse what PostgreSQL cannot keep."""
    if "\0" in given:
        raise InvalidInput(f"{name} must not hold a null character")
    return given
