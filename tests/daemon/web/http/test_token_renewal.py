"""The page's token after its file was replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support.web_harness import TOKEN, Site, a_site, event_line, write_token

NEW = "another-token-of-this-page"


def status_with(site: Site, token: str) -> int:
    return site.get("/api/health", headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_replaced_token_is_in_force_at_the_next_request(tmp_path: Path) -> None:
    with a_site(f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}") as site, site.client() as client:
        client.post("/login", data={"token": TOKEN})
        assert client.get("/api/health").status_code == 200
        write_token(tmp_path, NEW)
        assert client.get("/api/health").status_code == 401, "the cookie of the former token"
        assert (status_with(site, TOKEN), status_with(site, NEW)) == (401, 200)
        client.post("/login", data={"token": NEW})
        assert client.get("/api/health").status_code == 200


@pytest.mark.parametrize("content", ["", "short\n", None], ids=["empty", "short", "missing"])
def test_a_file_without_a_token_leaves_the_former_one_in_force(tmp_path: Path, content: str | None) -> None:
    file = write_token(tmp_path, TOKEN)
    with a_site(f"http://127.0.0.1:0,token_file={file}") as site:
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        assert (status_with(site, TOKEN), status_with(site, "short")) == (200, 401)
        assert site.log.events == ([] if content is None else ["token_not_renewed"])
        assert TOKEN not in str(site.log.written)


def test_a_stream_that_was_opened_with_the_former_token_ends(tmp_path: Path) -> None:
    word = f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}"
    authorized = {"Authorization": f"Bearer {TOKEN}"}
    with a_site(word) as site, connect(site.websocket_url, additional_headers=authorized) as socket_:
        assert json.loads(socket_.recv())["type"] == "welcome"
        write_token(tmp_path, NEW)
        site.append(event_line(1))
        with pytest.raises(ConnectionClosed):
            socket_.recv(60)
