"""The page's own files, each with a tag by which a browser sees that it has not changed.

Conventions: only what lies in `static/` when the server starts is ever sent; a path is looked up and never opened.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from soundwatch.daemon.web.middleware import RequestRefused

STATIC: Final = Path(__file__).with_name("static")
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class StaticFiles:
    """The files of `static/`, read once."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in TYPES}
        self._tags = {name: f'"{hashlib.sha256(text).hexdigest()[:20]}"' for name, text in self._files.items()}

    async def index(self, request: Request) -> Response:
        """The page."""
        return self._send(request, "index.html")

    async def login(self, request: Request) -> Response:
        """The page that asks for the token."""
        return self._send(request, "login.html")

    async def file(self, request: Request) -> Response:
        """What the page is made of.

        Raises:
            Refusal: There is no such file.
        """
        return self._send(request, request.path_params["name"])

    def _send(self, request: Request, name: str) -> Response:
        text = self._files.get(name)
        if text is None:
            raise RequestRefused(404, "There is no such file.")
        headers = {"ETag": self._tags[name], "Cache-Control": "no-cache"}
        if self._tags[name] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers, media_type=TYPES[Path(name).suffix])
