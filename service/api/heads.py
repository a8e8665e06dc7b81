"""What the head of a request must be before anything acts on it: under a name of this server, and not from a
page of another site.

A browser lets any page send a POST anywhere, and takes a page for the server's own where a name that first
meant another machine comes to mean this one (DNS rebinding). It tells of both in headers that a page cannot
choose.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import ClassVar

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.exchange import request_id
from service.api.failures import failed
from service.errors import Forbidden, InvalidInput, RequestError

_READING = ("GET", "HEAD", "OPTIONS")
"""Methods that change and compute nothing; a page of another site cannot read their answers."""

_ONCE = (
    b"host",
    b"origin",
    b"sec-fetch-site",
    b"authorization",
    b"content-type",
    b"content-length",
    b"content-encoding",
    b"inference-header-content-length",
    b"x-request-id",
)
"""Headers of which one would be read, and another passed over."""

_OWN_PAGES = ("same-origin", "none")
"""What Sec-Fetch-Site says of a page of this server, and of a person who typed an address."""

_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(
    r"(?P<name>[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])\.?(:(?P<port>[0-9]{1,5})?)?", re.ASCII
)
_NAME = re.compile(r"\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[?[0-9a-f:.]+\]?", re.ASCII)
_SHOWN = 100  # letters of a header, in an error


@dataclass(frozen=True)
class HostNames:
    """Names that the header Host may have.

    Args:
        allowed: names and addresses without a port; "*.example.com" is any name below, "*" any name at all.
        only_loopback: whether, where nothing is allowed by name, what comes in by a loopback address must be
            under a name of that.
    """

    allowed: frozenset[str] = frozenset()
    only_loopback: bool = False

    ANY: ClassVar[str] = "*"

    @classmethod
    def read(cls, text: str, *, only_loopback: bool) -> "HostNames":
        """Read names that are separated by commas.

        Raises:
            ValueError: the text is one that is no name.
        """
        names = [name.strip().lower().removesuffix(".") for name in text.split(",") if name.strip()]
        wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
        if wrong is not None:
            raise ValueError(wrong)
        return cls(frozenset(name.strip("[]") for name in names), only_loopback)

    def take(self, name: str, server: str | None) -> bool:
        """Tell whether the server may be asked under a name.

        Args:
            name: in lower case, an IPv6 address without its brackets.
            server: the address that the connection came in by; None where that is not known.
        """
        if self.ANY in self.allowed or not self._looked_at(server):
            return True
        return self.lists(name) or name == "localhost" or name == server or _is_loopback(name)

    def lists(self, name: str) -> bool:
        """Tell whether a name is allowed by an entry of its own."""
        parents = name.split(".")
        below = {"*." + ".".join(parents[first:]) for first in range(1, len(parents))}
        return name in self.allowed or bool(below & self.allowed)

    def _looked_at(self, server: str | None) -> bool:
        return bool(self.allowed) or (self.only_loopback and server is not None and _is_loopback(server))


class Heads:
    """Answers what must not go on: one header twice, a foreign Host, a change from a page of another site.

    Args:
        app: answers all else.
        hosts: the names of the server.
        rejected: counts what is refused, by its code.
    """

    def __init__(self, app: ASGIApp, hosts: HostNames, rejected: Callable[[str], None]) -> None:
        self._app = app
        self._hosts = hosts
        self._rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an exchange on."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except RequestError as refusal:
                self._rejected(refusal.code)
                await failed(refusal, request_id(scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        sent = _once(scope["headers"])
        host = sent.get(b"host")
        # HTTP/1.0 needs none, and no browser leaves it out.
        if host is not None:
            self._check_host(host, scope)
        if scope["method"] not in _READING:
            self._check_site(host, sent.get(b"origin"), sent.get(b"sec-fetch-site"))

    def _check_host(self, host: str, scope: Scope) -> None:
        found = _AUTHORITY.fullmatch(host.lower())
        server = (scope.get("server") or (None,))[0]
        if not self._hosts.take(found["name"].strip("[]") if found else "", server):
            raise Forbidden(
                f"this server is not asked under the name {host[:_SHOWN]!r}: ask it as localhost or by its "
                "address, or have its operator add the name to UNSURE_ALLOWED_HOSTS"
            )

    def _check_site(self, host: str | None, origin: str | None, site: str | None) -> None:
        """Refuse what a page of another site sends; programs that are no browsers send neither header.

        Where a browser says by Sec-Fetch-Site that the page is the server's own, that holds: a proxy in
        between may have changed the header Host.
        """
        if site is not None:
            own = site.lower() in _OWN_PAGES
        else:
            own = origin is None or _same_origin(origin, host) or self._listed(origin)
        if not own:
            raise Forbidden(
                f"a page of another site, {(origin or 'of no known origin')[:_SHOWN]}, must not ask for "
                "this; use the page of this server, or a program. Behind a proxy, the operator names it "
                "in UNSURE_ALLOWED_HOSTS"
            )

    def _listed(self, origin: str) -> bool:
        scheme, _, authority = origin.lower().partition("://")
        found = _AUTHORITY.fullmatch(authority)
        return (
            found is not None
            and scheme in _PORTS
            and int(found["port"] or _PORTS[scheme]) == _PORTS[scheme]
            and self._hosts.lists(found["name"].strip("[]"))
        )


def _once(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Give the headers that must stand once; raises InvalidInput where one stands twice."""
    sent: dict[bytes, str] = {}
    for name, value in headers:
        if name in _ONCE:
            if name in sent:
                raise InvalidInput(f"the header {name.decode().title()} stands twice; send it once")
            sent[name] = value.decode("latin-1").strip()
    return sent


def _same_origin(origin: str, host: str | None) -> bool:
    """Tell whether a page's origin is the host that is asked; its scheme is a proxy's matter."""
    scheme, _, authority = origin.lower().partition("://")
    if scheme not in _PORTS or host is None:
        return False
    there, here = _AUTHORITY.fullmatch(authority), _AUTHORITY.fullmatch(host.lower())
    if there is None or here is None:
        return False
    usual = _PORTS[scheme]
    return (there["name"], int(there["port"] or usual)) == (here["name"], int(here["port"] or usual))


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return ((isinstance(found, IPv6Address) and found.ipv4_mapped) or found).is_loopback
