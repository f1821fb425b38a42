"""Deletion of events with their clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from soundwatch.daemon.config.config import ClipsConfig, Config
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.protocols import RuleStatus, RuleTargetStatus, SinkStatus
from soundwatch.daemon.web.api.deletion import DeletionBody, delete_with_clips
from soundwatch.daemon.web.http.refusal import RequestRefused
from support.web_harness import IDS, TOKEN, Site, a_site, clip_line, event_line, write_token


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "clips").mkdir()
    config = Config(clips=ClipsConfig(folder=str(tmp_path / "clips")))
    with a_site(f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}", config=config) as site:
        yield site


def delete(site: Site, *ids: str, token: str | None = TOKEN, **headers: str) -> httpx.Response:
    given = {} if token is None else {"Authorization": f"Bearer {token}"}
    with site.client(headers=given | headers) as client:
        return client.post("/api/deletions", json={"ids": ids})


def lines_of(site: Site) -> list[dict[str, Any]]:
    with site.client(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        found: list[dict[str, Any]] = client.get("/api/lines").json()["lines"]
        return found


@pytest.mark.parametrize("named", ["a.png", None])  # None: the picture was drawn later
def test_an_event_goes_with_its_lines_its_label_and_its_clip_and_the_journal_says_so(
    site: Site, tmp_path: Path, named: str | None
) -> None:
    clip, picture = tmp_path / "clips" / "a.flac", tmp_path / "clips" / "a.png"
    clip.write_bytes(b"sound")
    picture.write_bytes(b"picture")
    of_clip = msgspec.structs.replace(clip_line(1, "a.flac"), picture=named)
    site.append(event_line(1), event_line(1, "end"), of_clip, event_line(2), event_line(2, "end"))
    assert delete(site, IDS[1], IDS[99]).json() == {"events": 1, "lines": 3, "clips": 1}
    site.journal.flush()
    assert not clip.exists()
    assert not picture.exists()
    assert [line.get("id") for line in lines_of(site)] == [IDS[2], IDS[2], None], "the lines in memory are gone too"
    last = lines_of(site)[-1]
    assert (last["type"], last["state"], last["seq"]) == ("health", "working", 6)
    assert last["detail"] == "1 event with 3 lines and 1 clip were deleted by a request to the API"
    assert site.log.fields("events_deleted") == [{"events": 1, "lines": 3, "clips": 1}]
    assert delete(site, IDS[1]).status_code == 404


def test_a_deletion_needs_a_token_and_this_origin(site: Site) -> None:
    site.append(event_line(1), event_line(1, "end"))
    assert delete(site, IDS[1], token=None).status_code == 401
    assert delete(site, IDS[1], Origin="http://evil.example").status_code == 403
    assert len(lines_of(site)) == 2
    with a_site() as open_site:
        open_site.append(event_line(1), event_line(1, "end"))
        refused = delete(open_site, IDS[1], token=None)
        assert (refused.status_code, "only with a token" in refused.json()["error"]) == (403, True)


def test_an_active_event_and_wrong_ids_are_refused(site: Site) -> None:
    site.append(event_line(1), event_line(2), event_line(2, "end"))
    assert delete(site, IDS[2], IDS[1]).status_code == 409
    assert delete(site).status_code == 422
    assert delete(site, "../../etc/passwd").status_code == 422
    assert len(lines_of(site)) == 3


def test_a_clip_outside_the_folder_stays(site: Site, tmp_path: Path) -> None:
    outside = tmp_path / "a.flac"
    outside.write_bytes(b"sound")
    site.append(event_line(1), event_line(1, "end"), clip_line(1, "../a.flac"))
    refused = delete(site, IDS[1])
    assert (refused.status_code, f"{outside.name} is not a clip in the clips folder" in refused.json()["error"]) == (
        409,
        True,
    )
    assert outside.exists()
    assert len(lines_of(site)) == 3


def test_an_event_stays_while_its_clip_may_be_in_a_folder_that_is_not_there(site: Site, tmp_path: Path) -> None:
    away = tmp_path / "away" / "a.flac"
    moved = msgspec.structs.replace(clip_line(1, "a.flac"), path=str(away))
    site.append(event_line(1), event_line(1, "end"), moved)
    refused = delete(site, IDS[1])
    assert (refused.status_code, f"the folder {away.parent} is not there" in refused.json()["error"]) == (409, True)
    away.parent.mkdir()
    away.write_bytes(b"sound")
    assert delete(site, IDS[1]).status_code == 409
    away.unlink()
    assert delete(site, IDS[1]).json() == {"events": 1, "lines": 3, "clips": 0}, "the clip is gone"


def test_an_event_whose_clip_is_not_written_yet_is_refused(site: Site) -> None:
    site.append(event_line(1), event_line(1, "end"))
    view = replace(site.view, clip_pending=lambda id_: id_ == IDS[1])
    with pytest.raises(RequestRefused, match=f"clip of {IDS[1]} is not written yet"):
        delete_with_clips(view, DeletionBody(ids=[IDS[1]]), has_token=True)
    assert len(lines_of(site)) == 2


def test_nothing_is_deleted_while_lines_are_kept_in_memory(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.append(event_line(1), event_line(1, "end"))
    monkeypatch.setattr(Journal, "failing", True)
    assert delete(site, IDS[1]).status_code == 503
    assert len(lines_of(site)) == 2


def test_an_event_with_a_line_that_a_sink_or_a_rule_has_yet_to_take_is_refused(site: Site) -> None:
    site.append(event_line(1), event_line(1, "end"), event_line(2), event_line(2, "end"))
    behind, gone = SinkStatus("mqtt:a", "failing", delivered_seq=2), SinkStatus("terminal", "gone", delivered_seq=1)
    rule = RuleStatus(
        "dogs", True, RuleConfig(), 0, {}, None, 0, (RuleTargetStatus(replace(behind, name="rule:dogs"), 2),)
    )
    for states in ({"sinks": lambda: [(behind, 2), (gone, 3)]}, {"rules": lambda: [rule]}):
        view = replace(site.view, **states)
        with pytest.raises(RequestRefused, match=f"has yet to take the lines of {IDS[2]}"):
            delete_with_clips(view, DeletionBody(ids=[IDS[1], IDS[2]]), has_token=True)
    assert len(lines_of(site)) == 4
    view = replace(site.view, sinks=lambda: [(behind, 2), (gone, 3)])
    assert delete_with_clips(view, DeletionBody(ids=[IDS[1]]), has_token=True).lines == 2
