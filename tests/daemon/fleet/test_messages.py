"""Messages from a broker, valid and invalid."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.fleet.messages import MAX_BYTES, LineMessage, ReportMessage, parse_message
from soundwatch.daemon.sinks.mqtt.connection import MqttMessage
from soundwatch.daemon.sinks.mqtt.node_report import SourceReport
from support.fleet_harness import JOURNAL, keys_of, line_of, report_of

LINES = f"soundwatch/edge1/lines/{JOURNAL}"


def test_a_stored_line_has_no_repetition_mark() -> None:
    line = msgspec.json.encode(keys_of(7))
    message = parse_message(MqttMessage(LINES, line[:-1] + b',"repeated":true}'))
    assert isinstance(message, LineMessage)
    assert message.repeated
    assert replace(message, repeated=False) == parse_message(MqttMessage(LINES, line))
    assert message.line == line.decode()


def test_a_report_of_a_later_release_is_read() -> None:
    payload = msgspec.json.encode(report_of(1, 1, sources={"mic0": SourceReport(hearing="dozing")}).report)
    message = parse_message(MqttMessage("soundwatch/edge1/report", payload.replace(b"report/1", b"report/2")))
    assert isinstance(message, ReportMessage)
    assert message.report.sources["mic0"].hearing == "dozing"


def test_a_line_of_a_later_release_is_read() -> None:
    message = line_of(3, type="whistle", pitch_hz=880, source=None)
    assert (message.header.type, message.header.seq, message.header.source) == ("whistle", 3, None)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (LINES, b""),
        (LINES, b"{}"),
        (LINES, b'{"seq":1,"time":"2026-11-22T08:15:02.418Z","type":"start"}'),
        (LINES, b'{"seq":1,"time":"2026-11-22T08:15:02.418Z","type":"start","node":"edge2"}'),
        (LINES, b'{"seq":1,\n"time":"2026-11-22T08:15:02.418Z","type":"start","node":"edge1"}'),
        (LINES, b'{"seq":1,"time":"9999-12-31T23:59:59Z","type":"start","node":"edge1"}'),
        (LINES, b'{"seq":1,"time":"2026-11-22T08:15:02.418Z","type":"start","node":"edge1","class":"\\u001b[2J"}'),
        (LINES, b'{"seq":1,"time":"2026-11-22T08:15:02Z","type":"start","node":"edge1","class":"' + b"a" * 201 + b'"}'),
        (LINES, b'{"seq":0,"time":"2026-11-22T08:15:02.418Z","type":"start","node":"edge1"}'),
        (LINES, b'{"seq":1,"time":"2026-11-22T08:15:02.418","type":"start","node":"edge1"}'),
        (LINES, b'{"seq":1,"time":"2026-11-22T08:15:02.418Z","type":"start","node":"edge1","score":1e999}'),
        (LINES, b'{"seq":1,"time":"2026-11-22T08:15:02.418Z","type":"start","node":"edge1","source":"\\u0000"}'),
        (LINES, b'{"seq":1,"time":"2026-11-22T08:15:02.418Z","type":"start","node":"edge1","x":"\xff"}'),
        (LINES, b'{"x":"' + b"a" * MAX_BYTES + b'"}'),
        ("soundwatch/edge1/lines/../x", b"{}"),
        (f"soundwatch/{'a' * 300}/status", b"online"),
        ("soundwatch/edge1/status", b"dancing"),
        ("soundwatch/edge1/report", b'{"node":"edge1"}'),
        ("soundwatch/edge1/report", msgspec.json.encode(report_of(1, 1).report).replace(b"02.418Z", b"02.418")),
        ("soundwatch/edge2/report", msgspec.json.encode(report_of(1, 1).report)),
        (
            "soundwatch/edge1/report",
            msgspec.json.encode(report_of(1, 1).report).replace(b'last_seq":1', b'last_seq":9223372036854775808'),
        ),
        ("soundwatch/edge1/report", msgspec.json.encode(report_of(1, 1).report).replace(b"30.0", b"1e300")),
        ("soundwatch/edge1/report", msgspec.json.encode(report_of(1, 1).report).replace(b"2026-", b"2400-")),
        ("soundwatch/edge1/resend/done", b'{"journal":"00","after":-1,"up_to":2}'),
        ("soundwatch", b"online"),
    ],
)
def test_a_message_that_is_no_nodes_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        parse_message(MqttMessage(topic, payload))


@pytest.mark.slow
@given(
    st.sampled_from(["lines/00", "report", "status", "resend/done", "again/done", "x"]),
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["seq", "time", "type", "source", "journal", "after", "up_to", "sources"]),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=8,
        ).map(msgspec.json.encode),
    ),
)
def test_invalid_input_is_refused_without_side_effects(where: str, payload: bytes) -> None:
    with contextlib.suppress(ValueError, msgspec.MsgspecError):
        parse_message(MqttMessage(f"soundwatch/edge1/{where}", payload))
