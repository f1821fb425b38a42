"""One test message to each output of an alert rule, for `soundwatch rules send-test`.

Does not: read the journal, or count the message as one of the rule's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import msgspec

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.config.config import Config, node_name
from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.text.messages import failure_text
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.line_head import SCHEMA
from soundwatch.daemon.rules.message import Message, sample_message
from soundwatch.daemon.rules.sender import PreparedTarget
from soundwatch.daemon.rules.targets import prepare_target


def send_test_message(config: Config, contract: ModelContract, name: str) -> Iterator[tuple[str, str | None]]:
    """Send one test message to each output of a rule.

    Args:
        config: The configuration.
        contract: Contract of the model.
        name: Name of the rule.

    Yields:
        Name of the output, and the failure in one sentence or None.

    Raises:
        ConfigError: An output is wrong.
    """
    rule = config.rules[name]
    now = format_utc(time.time_ns())
    line = {
        "schema": SCHEMA,
        "type": "start",
        "seq": 0,
        "id": f"test-{time.time_ns()}",  # a receiver may drop a message whose id it has had
        "time": now,
        "node": node_name(config),
        "source": next(iter(config.sources), None),
        "class": contract.labels[0],
        "score": 1.0,
        "peak_score": 1.0,
        "onset": now,
    }
    message = sample_message(name, rule, msgspec.json.encode(line) + b"\n", config.place, time.time())
    with detached_view(config, contract) as view:
        sends = list(enumerate(rule.then.send))
        for target in [prepare_target(f"rules.{name}.then.send[{index}]", text, view) for index, text in sends]:
            yield target.name, _send(target, message)


def _send(target: PreparedTarget, message: Message) -> str | None:
    """Send a message; return the failure in one sentence, or None."""
    try:
        with contextlib.closing(target.open()) as sender:
            sender.send(message)
    except (SoundwatchError, OSError) as error:
        return failure_text(error)
    return None
