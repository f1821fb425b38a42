"""Serves the files of the page, each with an entity tag.

Conventions: all files of `static/` are read when the server starts, and the page's part of each language's catalogue,
`language-CODE.json`. `version.js` has the version of these files: a page that was loaded before an update, or by a
service worker, compares that with the version of the daemon. A requested name is only looked up among them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from soundwatch.daemon import __version__
from soundwatch.daemon.core.languages.language import LANGUAGES, catalogue
from soundwatch.daemon.web.http.refusal import RequestRefused

STATIC: Final = Path(__file__).with_name("static")
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


class StaticFiles:
    """Endpoints for the files of `static/`."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in TYPES}
        for code in LANGUAGES:
            texts = catalogue(code)
            page = {"texts": texts.texts, "names": texts.names, "settings": texts.settings}
            self._files[f"language-{code}.json"] = msgspec.json.encode(page)
        self._files["version.js"] = b"export const VERSION = %b;\n" % msgspec.json.encode(__version__)
        self._tags = {name: f'"{hashlib.sha256(text).hexdigest()[:20]}"' for name, text in self._files.items()}

    async def index(self, request: Request) -> Response:
        """Send the page."""
        return self._send(request, "index.html")

    async def login(self, request: Request) -> Response:
        """Send the login form."""
        return self._send(request, "login.html")

    async def worker(self, request: Request) -> Response:
        """Send the service worker, whose scope is the folder of its path."""
        return self._send(request, "worker.js")

    async def file(self, request: Request) -> Response:
        """Send a file of the page.

        Raises:
            RequestRefused: The file does not exist.
        """
        return self._send(request, request.path_params["name"])

    def _send(self, request: Request, name: str) -> Response:
        text = self._files.get(name)
        if text is None:
            raise RequestRefused(404, "This file does not exist.")
        headers = {"ETag": self._tags[name], "Cache-Control": "no-cache"}
        if self._tags[name] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers, media_type=TYPES[Path(name).suffix])
