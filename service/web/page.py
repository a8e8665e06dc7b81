"""The page over HTTP: files that anybody may read, under a policy that lets nothing else in."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.errors import NotFound
from service.web.files import INDEX, PageFile, page_files

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No text becomes markup or script, whatever a later change of the page forgets.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every page for people, whatever it loads."""

_OF_FILES = HEADERS | {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # A browser keeps the files, and asks each time whether they are still the ones: no page of two versions.
    "Cache-Control": "no-cache",
}


class Page:
    """Handlers of / and of the files behind it.

    The files are the same on every server and tell nothing of this one: no key is asked for them, so that the
    page can ask for one.
    """

    def __init__(self) -> None:
        self._files = page_files()

    def routes(self) -> list[Route]:
        """List the paths."""
        return [Route("/", self.index, methods=["GET"]), Route("/page/{file}", self.file, methods=["GET"])]

    async def index(self, request: Request) -> Response:
        """Answer GET /."""
        return _response(self._files[INDEX], request)

    async def file(self, request: Request) -> Response:
        """Answer GET /page/{file}."""
        file = self._files.get(request.path_params["file"])
        if file is None:
            raise NotFound(f"there is no path {request.url.path}; see /docs")
        return _response(file, request)


def _response(file: PageFile, request: Request) -> Response:
    headers = _OF_FILES | {"ETag": file.etag}
    if _holds(request.headers.get("if-none-match", ""), file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _holds(sent: str, etag: str) -> bool:
    """Whether a browser has a file already; a proxy that compresses may have made its name a weak one."""
    return etag in {one.strip().removeprefix("W/") for one in sent.split(",")}
