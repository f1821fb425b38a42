"""Clips and the files of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import ClipsConfig, Config
from support.web_harness import IDS, Site, a_site, clip_line, event_line


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "clips").mkdir()
    with a_site(config=Config(clips=ClipsConfig(folder=str(tmp_path / "clips")))) as site:
        yield site


def test_a_clip_is_played_from_where_one_likes(site: Site, tmp_path: Path) -> None:
    (tmp_path / "clips" / "a.flac").write_bytes(b"fLaC" + bytes(1230))
    site.append(event_line(1), clip_line(1, bytes=1234), event_line(2), clip_line(2, None, "speech"))
    kept, refused = site.get(f"/api/events/{IDS[1]}").json()["clip"], site.get(f"/api/events/{IDS[2]}").json()["clip"]
    assert kept == {
        "url": f"/api/clips/{IDS[1]}",
        "picture_url": None,
        "reason": None,
        "duration_s": 2.0,
        "bytes": 1234,
    }
    assert (refused["url"], refused["reason"]) == (None, "speech")
    answer = site.get(kept["url"])
    assert answer.headers["content-type"] == "audio/flac"
    assert answer.content[:4] == b"fLaC"
    assert site.get(kept["url"], headers={"Range": "bytes=0-3"}).content == b"fLaC"
    for unreadable in ("items=0-1", "bytes=a-b", "bytes=5-2", "bytes=0-0,2-3", ""):
        answer = site.get(kept["url"], headers={"Range": unreadable})
        assert (answer.status_code, len(answer.content)) == (200, 1234), "RFC 9110 has such a range ignored"
    assert site.get(f"/api/clips/{IDS[2]}").status_code == 404


def test_the_picture_of_a_clip_is_served_from_its_folder_only(site: Site, tmp_path: Path) -> None:
    (tmp_path / "clips" / "a.png").write_bytes(b"\x89PNG")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "clips" / "a.flac").write_bytes(b"sound")
    names = ("a.png", "../secret.png", "a.flac", None)
    for number, name in enumerate(names):
        site.append(event_line(number), clip_line(number, picture=name))
    assert site.get(f"/api/events/{IDS[0]}").json()["clip"]["picture_url"] == f"/api/clips/{IDS[0]}/picture"
    answers = [site.get(f"/api/clips/{IDS[number]}/picture") for number in range(4)]
    assert [answer.status_code for answer in answers] == [200, 404, 404, 200]
    assert answers[3].content == b"\x89PNG", "drawn after its line was written"
    assert site.get(f"/api/events/{IDS[3]}").json()["clip"]["picture_url"] == f"/api/clips/{IDS[3]}/picture"
    assert (answers[0].content, answers[0].headers["content-type"]) == (b"\x89PNG", "image/png")
    assert answers[0].headers["cache-control"] == "no-store"
    assert answers[1].json()["error"] == "This event has no picture, or its picture was deleted."
    (tmp_path / "clips" / "a.flac").unlink()
    assert site.get(f"/api/clips/{IDS[0]}/picture").status_code == 404, "its clip was removed by hand"


def test_a_clip_that_could_not_be_written_is_a_problem_until_one_is(site: Site) -> None:
    def problems() -> list[str]:
        found: list[str] = site.get("/api/health", headers={"Accept-Language": "de"}).json()["problems"]
        return found

    site.append(clip_line(1, None, "disk"), clip_line(2, None, "speech"))
    assert problems() == ["Die letzte Aufnahme von mic0 wurde nicht geschrieben: Speicherplatz."]
    site.append(clip_line(3, "a.flac"))
    assert problems() == []


def test_no_line_can_make_it_send_another_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret.flac").write_bytes(b"fLaC secret")
    (tmp_path / "clips" / "link.flac").symlink_to(tmp_path / "secret.flac")
    (tmp_path / "clips" / "notes.txt").write_text("secret")
    (tmp_path / "clips" / "folder.flac").mkdir()
    outside = [
        "../secret.flac",
        str(tmp_path / "secret.flac"),
        "link.flac",
        "notes.txt",
        "folder.flac",
        "/etc/passwd",
        "",
        "none.flac",
        "a\0.flac",
    ]
    for number, file in enumerate(outside):
        site.append(event_line(number), clip_line(number, file=file))
        answer = site.get(f"/api/clips/{IDS[number]}")
        assert answer.headers["cache-control"] == "no-store", "a deleted clip plays from no cache"
        assert answer.status_code == 404, file
        assert "secret" not in answer.text
    for name in ("..%2fsecret.flac", "x", "%2e%2e"):
        assert site.get(f"/api/clips/{name}").status_code == 404


def test_the_page_is_sent_once_and_then_only_when_it_changes(site: Site) -> None:
    for path, kind in (
        ("/", "text/html"),
        ("/static/main.js", "text/javascript"),
        ("/static/style.css", "text/css"),
        ("/static/icon.svg", "image/svg+xml"),
    ):
        answer = site.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        again = site.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_missing_file_is_refused_with_one_message(site: Site) -> None:
    assert site.get("/api/nothing").json() == {"error": "This path does not exist."}
    with site.client() as client:
        answer = client.delete("/api/events")
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
