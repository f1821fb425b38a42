"""Messages of rules that wait for the clip of their event.

Conventions: as in `rules/decide.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.core.time.clock import SECOND_NS
from soundwatch.daemon.rules.conditions import MUTED
from soundwatch.daemon.rules.facts import LineFacts
from soundwatch.daemon.rules.state import RuleState

CLIP_WAIT_S: Final = 600.0  # longer than an event and its clip by the defaults
CLIPS_OFF: Final = Sentence("clips of this sound are off")
NOT_WRITTEN: Final = Sentence("no clip was written")
NOT_IN_TIME: Final = Sentence("no clip came within {seconds} s", seconds=f"{CLIP_WAIT_S:g}")
ACTIVE_CLIPS: Final = 100


@dataclass(frozen=True, slots=True)
class DueMessage:
    """Message that is due.

    Attributes:
        rule: Name of the rule.
        facts: Facts of the line that the rule decided on.
        clip_path: Path of the clip; None for a message without.
        clip_fault: Reason why a message that wants a clip has none; empty for none.
        waited_until_ns: Time at which a message that waited for its clip became due; None for one that did not wait.
    """

    rule: str
    facts: LineFacts
    clip_path: str | None = None
    clip_fault: str = ""
    waited_until_ns: int | None = None

    @property
    def due_ns(self) -> int:
        """Time at which the message became due."""
        return self.facts.unix_ns if self.waited_until_ns is None else self.waited_until_ns


def note_clip(own: RuleState, facts: LineFacts) -> RuleState:
    """Keep the path of a clip whose event has no message yet, since a long event's clip comes before its end."""
    if facts.kind != "clip" or facts.id is None or facts.id in own.waiting:
        return own
    clips = {**own.clips, facts.id: facts.clip_path}
    return replace(own, clips=dict(list(clips.items())[-ACTIVE_CLIPS:]))


def release(
    name: str, own: RuleState, unix_ns: int, facts: LineFacts | None = None, *, muted: bool
) -> tuple[RuleState, list[DueMessage], list[LineFacts]]:
    """Return the messages that a line makes due: by its clip, or since a clip did not come; a muted rule holds them.

    Returns:
        The state, the messages, and the facts of those that are held.
    """
    if not own.waiting:
        return own, [], []
    clip_id = facts.id if facts is not None and facts.kind == "clip" else None
    due = list[DueMessage]()
    for id_, waiting in own.waiting.items():
        last_ns = waiting.unix_ns + round(CLIP_WAIT_S * SECOND_NS)
        if facts is not None and id_ == clip_id:
            fault = NOT_WRITTEN if facts.clip_path is None else ""
            due.append(DueMessage(name, waiting, facts.clip_path, fault, min(unix_ns, last_ns)))
        elif abs(unix_ns - waiting.unix_ns) > CLIP_WAIT_S * SECOND_NS:  # the line's clock may have been wrong
            due.append(DueMessage(name, waiting, None, NOT_IN_TIME, min(unix_ns, last_ns)))
    gone = {message.facts.id for message in due}
    own = replace(own, waiting={id_: facts for id_, facts in own.waiting.items() if id_ not in gone})
    if not muted or not due:
        return own, due, []
    held = {**own.held, MUTED: own.held.get(MUTED, 0) + len(due)}
    own = replace(own, held=held, sent_total=own.sent_total - len(due))
    return own, [], [message.facts for message in due]
