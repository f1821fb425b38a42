"""Builds the API's responses about sources, sinks, model and health from the status and the latest windows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.languages.language import Language, sound_name, translated
from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.core.time.clock import SECOND_NS, format_utc
from soundwatch.daemon.events.notices import scores_line
from soundwatch.daemon.inference.classifier import resolve_model
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.status.snapshot import SourceStatus
from soundwatch.daemon.web.api.schemas import (
    ClassesResponse,
    ClassResponse,
    HealthResponse,
    JournalResponse,
    ModelResponse,
    OverloadResponse,
    ReadingResponse,
    SinkResponse,
    SinksResponse,
    SourceResponse,
    SourcesResponse,
)
from soundwatch.daemon.web.live.listening import may_listen

SILENT_STATES: Final = ("waiting", "lost", "ended")  # of a source


def sources(view: DaemonView, *, has_token: bool) -> SourcesResponse:
    """Return the status of all sources."""
    statuses = view.status.snapshot.sources
    return SourcesResponse(sources=tuple(_source(view, name, status, has_token) for name, status in statuses.items()))


def _source(view: DaemonView, name: str, status: SourceStatus, has_token: bool) -> SourceResponse:
    hello, window = status.hello, view.live.latest.get(name)
    return SourceResponse(
        name=name,
        state="running" if status.state == "heard" else status.state,
        hearing=status.state,
        since=status.since or None,
        detail=status.detail,
        description=hello.description if hello else None,
        rate_hz=hello.source_rate_hz if hello else None,
        channels=hello.source_channels if hello else None,
        stream_start=hello.stream_start if hello else None,
        faults=status.faults,
        active=tuple(event.id for event in status.active),
        events=dict(status.events),
        gaps=status.gaps,
        listen=has_token and may_listen(view, name),
        listeners=view.live.listeners(name),
        last=None if window is None else _last(window),
    )


def _last(window: WindowResult) -> ReadingResponse:
    line = scores_line(window, "")
    return ReadingResponse(
        time=line.time,
        level_dbfs=line.level_dbfs,
        scores=line.scores,
        windows=window.windows,
        delay_ms=round(window.delay_ns / 1e6, 1),
        heard_s=round(window.processed_s, 3),
        lost_s=round(window.lost_s, 3),
        coverage=coverage(window),
        tags=line.tags,
    )


def coverage(window: WindowResult) -> float | None:
    """Return the processed share of a stream; None before any sound."""
    total_s = window.processed_s + window.lost_s
    return round(max(0.0, window.processed_s) / total_s, 6) if total_s > 0 else None


def classes(view: DaemonView) -> ClassesResponse:
    """Return the classes of the model."""
    active = view.model()
    return ClassesResponse(
        classes=tuple(
            ClassResponse(name=label, threshold=active.thresholds.get(label)) for label in active.contract.labels
        )
    )


def sinks(view: DaemonView) -> SinksResponse:
    """Return the status of all sinks."""
    return SinksResponse(
        sinks=tuple(
            SinkResponse(
                name=status.name,
                state=status.state,
                reason=status.reason,
                since=format_utc(status.since_unix_ns),
                behind_lines=behind_lines,
                lost_lines=status.lost_lines,
                skipped_lines=status.skipped_lines,
            )
            for status, behind_lines in view.sinks()
        )
    )


def model(view: DaemonView) -> ModelResponse:
    """Return the model's contract and card."""
    active = view.model()
    return ModelResponse(
        identity=active.contract.identity,
        provider=active.provider,
        contract=msgspec.to_builtins(active.contract),
        card=_card(view.config().model.file),
    )


def _card(model_file: str) -> str | None:
    """Return the model card: the Markdown file next to the model file; None if there is none."""
    try:
        return resolve_model(model_file).with_suffix(".md").read_text(encoding="utf-8")
    except (ModelError, OSError, UnicodeDecodeError):
        return None


def health(view: DaemonView, *, token_wanted: bool, language: Language) -> HealthResponse:
    """Return the health of the daemon."""
    problems, active = tuple(_problems(view, language)), view.model()
    uncalibrated = view.uncalibrated()
    overload, present_unix_ns = view.status.snapshot.overload, time.time_ns()
    journal = view.journal
    return HealthResponse(
        state="poor" if problems else "good",
        problems=problems,
        uncalibrated=tuple(uncalibrated),
        calibrate=next(iter(uncalibrated.values()), ""),
        node=view.node,
        version=__version__,
        model=active.contract.identity,
        provider=active.provider,
        started=format_utc(min(view.started_unix_ns, present_unix_ns)),  # the clock may have been set back since
        boot=view.boot,
        uptime_s=max(0, present_unix_ns - view.started_unix_ns) // SECOND_NS,
        token_wanted=token_wanted,
        last_seq=journal.last_seq,
        journal=JournalResponse(state=_journal_state(journal), dropped_lines=journal.dropped_lines),
        overload=None
        if overload is None
        else OverloadResponse(
            state=overload.state,
            hop_s=overload.hop_s,
            behind_ms=overload.behind_ms,
            dropped_windows=overload.dropped_windows,
        ),
    )


def _journal_state(journal: Journal) -> Literal["working", "failing", "memory"]:
    if journal.failing:
        return "failing"
    return "memory" if journal.store.path == MEMORY else "working"


def _problems(view: DaemonView, language: Language) -> Iterator[str]:
    snapshot = view.status.snapshot
    for name, source in snapshot.sources.items():
        if source.state in SILENT_STATES:
            reason = source.detail or sound_name(source.state, language)
            yield translated("{source} delivers no sound: {reason}", language, source=name, reason=reason)
        if source.faults:
            faults = ", ".join(sound_name(fault, language) for fault in source.faults)
            yield translated("The sound of {source} has faults: {faults}.", language, source=name, faults=faults)
        if source.lost_clip is not None and view.config().clips.folder is not None:
            reason = sound_name(source.lost_clip, language)
            yield translated(
                "The last clip of {source} was not written: {reason}.", language, source=name, reason=reason
            )
    if snapshot.overload is not None and snapshot.overload.state == "degraded":
        yield translated("The machine is too slow for its sources: fewer windows are classified.", language)
    if view.journal.failing:
        yield translated("The journal cannot be written; lines are kept in memory meanwhile.", language)
    for status, _ in view.sinks():
        if status.state != "working":
            state = sound_name(status.state, language)
            if status.reason:
                yield translated(
                    "{sink} is {state}: {reason}", language, sink=status.name, state=state, reason=status.reason
                )
            else:
                yield translated("{sink} is {state}.", language, sink=status.name, state=state)
