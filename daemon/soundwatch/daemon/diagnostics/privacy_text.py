"""The privacy audit as text.

Does not: audit (`diagnostics/privacy_audit.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from soundwatch.daemon.diagnostics.privacy_audit import Audit


def audit_text(result: Audit) -> Sequence[str]:
    """Format an audit as lines of text."""
    journal, clips = result.journal, result.clips
    lines = ["Events"]
    if journal.path is None:
        lines.append("  in memory only, until the program ends")
    else:
        lines.append(f"  {journal.path}{_readable_by(journal.mode, journal.problem)}")
        lines.append(f"  {journal.problem or _amount(journal.lines, 'line', journal.size_bytes, journal.oldest)}")
        lines.append(f"  {_count(journal.labels, 'label')} set by users; no sound")
    lines.append(f"  deleted after {journal.max_age_days:g} days, or above {_megabytes(journal.max_bytes)}")
    lines.append("Sound")
    if clips.folder is None:
        lines.append("  none is stored with these options; a few seconds are in memory while they are scored")
    else:
        lines.append(f"  {clips.folder}{_readable_by(clips.mode, clips.problem)}")
        lines.append(f"  {clips.problem or _amount(clips.clips, 'clip', clips.size_bytes, clips.oldest)}")
        if clips.pictures:
            lines.append(f"  with {_count(clips.pictures, 'spectrogram')}: speech is visible in them")
        if clips.others:
            lines.append(f"  and {_count(clips.others, 'file')} that soundwatch did not write and never removes")
        guard = clips.speech_guard
        lines.append(f"  speech guard: {guard}" if guard else "  no speech guard: clips may hold speech")
        if clips.sources_without_guard:
            lines.append(f"  no speech guard for {', '.join(clips.sources_without_guard)}: these clips may hold speech")
        if clips.sources_without_clips:
            lines.append(f"  no sound of {', '.join(clips.sources_without_clips)} is stored")
        lines.append(f"  deleted after {clips.max_age_days:g} days, or above {_megabytes(clips.max_bytes)}")
    for folder, count in clips.earlier.items():
        lines.append(f"  {folder}: {_count(count, 'clip')} of earlier runs")
    lines.append("Destinations")
    lines += [f"  {destination.sink}: {destination.description}" for destination in result.destinations]
    for source in result.network_sources:
        protection = "encrypted" if source.encrypted else "not encrypted"
        lines.append(f"  the sound of {source.source} comes from {source.address}, {protection}")
    if result.listening:
        lines.append(f"  who has the token of the page can listen live to {', '.join(result.listening)}")
    lines.append(f"  the log: {result.log}")
    for library in result.reporting:
        lines.append(f"  {library.library} may send {library.report}: {library.variable} is {library.value!r}")
    leaves = result.leaves_house
    lines.append("Data may leave the local network." if leaves else "No data leaves the local network.")
    return lines


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
