"""The privacy audit as text.

Does not: audit (`diagnostics/privacy/audit.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from soundwatch.daemon.diagnostics.privacy.audit import Audit, ClipsAudit, JournalAudit


def audit_text(result: Audit) -> Sequence[str]:
    """Format an audit as lines of text."""
    return [
        *("Events", *_event_lines(result.journal)),
        *("Sound", *_sound_lines(result.clips)),
        *("Destinations", *_destination_lines(result)),
        "Data may leave the local network." if result.leaves_house else "No data leaves the local network.",
    ]


def _event_lines(journal: JournalAudit) -> Iterator[str]:
    """Describe the stored events."""
    if journal.path is None:
        yield "  in memory only, until the program ends"
    else:
        yield f"  {journal.path}{_readable_by(journal.mode, journal.problem)}"
        yield f"  {journal.problem or _amount(journal.lines, 'line', journal.size_bytes, journal.oldest)}"
        yield f"  {_count(journal.labels, 'label')} set by users; no sound"
    yield f"  deleted after {journal.max_age_days:g} days, or above {_megabytes(journal.max_bytes)}"


def _sound_lines(clips: ClipsAudit) -> Iterator[str]:
    """Describe the stored sound."""
    if clips.folder is None:
        yield "  none is stored with these options; a few seconds are in memory while they are scored"
    else:
        yield f"  {clips.folder}{_readable_by(clips.mode, clips.problem)}"
        yield f"  {clips.problem or _amount(clips.clips, 'clip', clips.size_bytes, clips.oldest)}"
        if clips.pictures:
            yield f"  with {_count(clips.pictures, 'spectrogram')}: speech is visible in them"
        if clips.others:
            yield f"  and {_count(clips.others, 'file')} that soundwatch did not write and never removes"
        guard = clips.speech_guard
        yield f"  speech guard: {guard}" if guard else "  no speech guard: clips may hold speech"
        if clips.sources_without_guard:
            yield f"  no speech guard for {', '.join(clips.sources_without_guard)}: these clips may hold speech"
        if clips.sources_without_clips:
            yield f"  no sound of {', '.join(clips.sources_without_clips)} is stored"
        yield f"  deleted after {clips.max_age_days:g} days, or above {_megabytes(clips.max_bytes)}"
    for folder, count in clips.earlier.items():
        yield f"  {folder}: {_count(count, 'clip')} of earlier runs"


def _destination_lines(result: Audit) -> Iterator[str]:
    """Describe where data goes, and where sound comes from over a network."""
    for destination in result.destinations:
        yield f"  {destination.sink}: {destination.description}"
    for source in result.network_sources:
        unchecked = "" if source.certificate_checked else ", the server's certificate is not checked"
        protection = f"encrypted{unchecked}" if source.encrypted else "not encrypted"
        yield f"  the sound of {source.source} comes from {source.address}, {protection}"
    if result.listening:
        yield f"  who has the token of the page can listen live to {', '.join(result.listening)}"
    yield f"  the log: {result.log}"
    for library in result.reporting:
        yield f"  {library.library} may send {library.report}: {library.variable} is {library.value!r}"


def _amount(count: int, noun: str, size_bytes: int, oldest: str | None) -> str:
    return f"{_count(count, noun)}, {_megabytes(size_bytes)}" + (f", the oldest of {oldest}" if oldest else "")


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _readable_by(mode: str | None, problem: str | None) -> str:
    """Describe who may read a file or folder."""
    if mode is None:
        return "" if problem else " (does not exist yet)"
    return f" (mode {mode}: " + ("other users may read it)" if int(mode, 8) & 0o044 else "only its owner may read it)")
