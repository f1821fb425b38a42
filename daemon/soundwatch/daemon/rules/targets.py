"""Destinations of a rule's messages: some of the sinks, and the services of Apprise.

Conventions: a destination is written as a sink is, as a word or a mapping. Sinks that act once for each line take
messages: a webhook, a program, a file. A sink gets the rule's line with the keys `rule`, `title`, `body`, `merged` and,
with a clip, `clip`.
Does not: decide when a message is sent (`rules/decide.py`), or try again (`sinks/worker.py`).
"""

from __future__ import annotations

from typing import Final

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.rules.apprise_target import AppriseOptions, prepare_apprise
from soundwatch.daemon.rules.message import Message
from soundwatch.daemon.rules.sender import MessageRefusedError, PreparedTarget
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS, parse_sink, prepare_sink, split_options
from soundwatch.daemon.sinks.protocols import Sink, SkippingSink
from soundwatch.daemon.sinks.spec import SinkConfig, SinkSpec, parse_options

TARGET_KINDS: Final = ("apprise", "webhook", "command", "json")
LIVE_OPTIONS: Final = ("scores", "level")  # of a file of all lines
LINES: Final = "start+update+end+health+gap"  # a rule has chosen the lines already


class SinkSender:
    """A sink that gets the lines of messages.

    Args:
        sink: The sink, open.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def send(self, message: Message) -> None:
        """Deliver the line of a message.

        Raises:
            OSError: The message may not have arrived.
            MessageRefusedError: The server refuses the message.
        """
        skipped = self._sink.skipped_lines if isinstance(self._sink, SkippingSink) else 0
        self._sink.deliver([JournalEntry(message.seq, message.extended_line)])
        if isinstance(self._sink, SkippingSink) and self._sink.skipped_lines > skipped:
            raise MessageRefusedError("the server refused the message")

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()


def prepare_target(where: str, text: SinkConfig, view: DaemonView) -> PreparedTarget:
    """Prepare a destination; nothing is opened yet.

    Args:
        where: Key of the destination, for messages.
        text: The destination as the user wrote it.
        view: View of the daemon.

    Raises:
        ConfigError: The destination is unknown, or its options are wrong.
    """
    word, options = split_options(text)
    kind, _, target = word.partition(":")
    if kind not in TARGET_KINDS:
        raise ConfigError(f"{where}: {_refusal(kind)}")
    if kind == "apprise":
        spec = SinkSpec(kind, target, options)
        return prepare_apprise(where, target, parse_options(spec, AppriseOptions), view.log)
    if kind in ("webhook", "command"):
        options.setdefault("types", LINES)
    if kind == "json" and not target:
        raise ConfigError(f"{where}: standard output is no destination of a rule; json:PATH was expected.")
    if kind == "json" and (live := [key for key in LIVE_OPTIONS if key in options]):
        raise ConfigError(f"{where}: {live[0]} is no option of a rule's file, which has the messages alone; remove it.")
    prepared = prepare_sink(parse_sink({"sink": word, **options}), view)
    return PreparedTarget(
        name=prepared.name if prepared.name.startswith(f"{kind}:") else f"{kind}:{prepared.name}",
        open=lambda: SinkSender(prepared.open()),
        check=prepared.check,
    )


def _refusal(kind: str) -> str:
    """Return the reason against a kind."""
    if kind in ("mqtt", "mqtts"):
        return f"a rule does not send to {kind}: directly; write apprise:{kind}://HOST/TOPIC."
    forms = "apprise:URL, webhook:URL, command:PATH, json:PATH"
    if kind in OUTPUT_KINDS:
        return f"a rule does not send to {kind}; it sends to {forms}."
    return f"{kind} is no output; {did_you_mean(kind, TARGET_KINDS)}one of these was expected: {forms}."
