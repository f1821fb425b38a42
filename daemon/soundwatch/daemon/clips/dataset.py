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
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.clips.clip_names import StoredClip, filename_word, list_clips
from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.files.new_folder import write_new_folder
from soundwatch.daemon.journal.queries.events import last_clip_line
from soundwatch.daemon.journal.queries.labels import all_labels
from soundwatch.daemon.journal.store import JournalStore

NEGATIVES: Final = "negatives"
SOUNDS: Final = "sounds"


class DatasetExport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an export.

    Attributes:
        copied: Number of copied clips, by class; `negatives` for those without a class.
        skipped: Number of labels without a clip, by reason.
    """

    copied: dict[str, int]
    skipped: dict[str, int]


def export_labeled_clips(store: JournalStore, clips: Path, folder: Path) -> DatasetExport:
    """Copy the clips of labeled events into a new folder, which is put in place when all are there.

    Raises:
        DataError: The folder is not empty, or there is nothing to copy.
        SinkError: The folder cannot be written.
    """
    labels = all_labels(store)
    if not labels:
        raise DataError(
            f"There are no labels in {store.path}. Give some on the page, or with `soundwatch label ID right`."
        )
    present = {clip.id: clip for clip in list_clips(clips)}
    found = [(present[event_id], class_) for event_id, class_ in labels if event_id in present]
    skipped = Counter(_missing_reason(store, event_id) for event_id, _ in labels if event_id not in present)
    if not found:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in skipped.items())
        raise DataError(f"No labeled event has a clip in {clips} ({reasons}). Keep clips with clips.folder or --clips.")
    write_new_folder(folder, lambda part: _copy_all(found, part))
    return DatasetExport(copied=dict(Counter(class_ or NEGATIVES for _, class_ in found)), skipped=dict(skipped))


def _missing_reason(store: JournalStore, event_id: str) -> str:
    """Return the reason why an event has no clip."""
    line = last_clip_line(store, event_id)
    if line is None:
        return "no clip was made"
    reason = msgspec.json.decode(line)["reason"]
    return "the clip is there no more" if reason is None else f"the clip was not written: {reason}"


def _copy_all(found: Sequence[tuple[StoredClip, str | None]], folder: Path) -> None:
    """Copy clips under names that identify their recordings to training.

    Raises:
        OSError: A clip cannot be copied.
    """
    folder.mkdir(mode=0o700)
    for kept, class_ in found:
        place = folder / NEGATIVES if class_ is None else folder / SOUNDS / class_
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        source = kept.path.name.split("-")[1]
        shutil.copyfile(kept.path, place / f"{filename_word(source)}_{kept.stamp[:11]}-{kept.id}.flac")
