"""Export the clips of labeled events as a data set for training.

Conventions: a label is the true class of an event, or None for no class. Clips are copied to `sounds/CLASS/`, and those
without a class to `negatives/`, as `soundwatch train --layout folders --negatives` reads them. A copy has the name
`SOURCE_HOUR-ID`. The part before the dash names the recording: clips of one source within one hour are similar, so
training must not use one of them and be evaluated on another.
Does not: train.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import msgspec

from soundwatch.daemon.clips.clip_names import StoredClip, filename_word, list_clips
from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.paths import is_there
from soundwatch.daemon.journal.events import last_clip_line
from soundwatch.daemon.journal.labels import all_labels
from soundwatch.daemon.journal.store import JournalStore


class DatasetExport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an export.

    Attributes:
        copied: Number of copied clips, by class; `negatives` for those without a class.
        skipped: Number of labels without a clip, by reason.
    """

    copied: dict[str, int]
    skipped: dict[str, int]


def export_labeled_clips(store: JournalStore, clips: Path, folder: Path) -> DatasetExport:
    """Copy the clips of labeled events into a new folder.

    Raises:
        DataError: The folder is not empty or cannot be written, or there is nothing to copy.
    """
    if is_there(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty; a new folder was expected. Remove it, or name another.")
    labels = all_labels(store)
    if not labels:
        raise DataError(
            f"There are no labels in {store.path}. Give some on the page, or with `soundwatch label ID right`."
        )
    present = {clip.id: clip for clip in list_clips(clips)}
    copied, skipped = Counter[str](), Counter[str]()
    for event_id, class_ in labels:
        kept = present.get(event_id)
        if kept is None:
            skipped[_missing_reason(store, event_id)] += 1
            continue
        _copy(kept, folder / "negatives" if class_ is None else folder / "sounds" / class_)
        copied["negatives" if class_ is None else class_] += 1
    if not copied:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in skipped.items())
        raise DataError(f"No labeled event has a clip in {clips} ({reasons}). Keep clips with clips.folder or --clips.")
    return DatasetExport(copied=dict(copied), skipped=dict(skipped))


def _missing_reason(store: JournalStore, event_id: str) -> str:
    """Return the reason why an event has no clip."""
    line = last_clip_line(store, event_id)
    if line is None:
        return "no clip was made"
    reason = msgspec.json.decode(line)["reason"]
    return "the clip is there no more" if reason is None else f"the clip was not written: {reason}"


def _copy(kept: StoredClip, folder: Path) -> None:
    """Copy a clip under a name that identifies its recording to training."""
    source = kept.path.name.split("-")[1]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(kept.path, folder / f"{filename_word(source)}_{kept.stamp[:11]}-{kept.id}.flac")
    except OSError as error:
        raise DataError(f"{kept.path} cannot be copied to {folder}: {error.strerror}. Make room there.") from error
