"""Readers of external input, as functions of bytes that accept them or raise an error of soundwatch.

Conventions: a reader gets a folder of its own to write its input to. What it raises beside `SoundwatchError` is a bug.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from unittest import mock

import msgspec
import numpy as np

from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.streams.ffmpeg import KNOWN_FAULTS, _without_secrets, explain_end
from soundwatch.daemon.capture.streams.raw_pcm import RawPcm
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.model.contract import decode_contract, encode_contract
from soundwatch.daemon.core.network.redact import check_address, redact_sink, redact_text, redact_url
from soundwatch.daemon.core.records.block import read_only
from soundwatch.daemon.core.records.window import Window
from soundwatch.daemon.detection.calibration import Calibration, ClassCalibration, load_calibration
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.events.notices import interrupted_line
from soundwatch.daemon.fleet.messages import parse_message
from soundwatch.daemon.frontend.mel import MelState, mel
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.journal.entry import RetentionLimits, StoredLine
from soundwatch.daemon.journal.queries.labels import all_labels
from soundwatch.daemon.journal.queries.query import parse_filter, read_lines
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.kinds import parse_sink, sink_key, sink_port
from soundwatch.daemon.sinks.mqtt.connection import MqttMessage
from soundwatch.daemon.sinks.mqtt.fleet import ResendRequest
from soundwatch.daemon.sinks.mqtt.options import BrokerOptions, parse_broker
from soundwatch.daemon.sinks.webhook.settings import WebhookOptions, load_settings
from soundwatch.daemon.sinks.webhook.sink import retry_after_s
from soundwatch.daemon.web.api.schemas import CountsQuery, EventsQuery, LabelBody, LinesQuery
from soundwatch.daemon.web.http.query_params import parse_query
from soundwatch.daemon.web.http.refusal import RequestRefused
from soundwatch.training.data.datasets.urbansound8k import read_metadata
from soundwatch.training.model.checkpoint import load_network
from soundwatch.training.model.recipe_file import parse_recipe, shipped_recipes
from support.band_model import write_band_model
from support.checkpoint_factory import write_checkpoint
from support.fakes import SMALL_CONTRACT, tone
from support.journal_factory import event, hello, write_journal

Reader = Callable[[bytes, Path], object]


def configuration(data: bytes, folder: Path) -> None:
    """A configuration, up to the rules that it makes."""
    build_rules(load_config(_file(folder / "config.yaml", data)).detection, SMALL_CONTRACT)


def contract(data: bytes, _: Path) -> None:
    """A contract, up to the features of a window by it."""
    spec = decode_contract(data, "a model").features
    samples = np.zeros((spec.channels, spec.window_samples), np.float32)
    mel(MelState(), Window(read_only(samples), 0, spec.window_samples, True), spec)


def recording(data: bytes, folder: Path) -> None:
    """A recording, up to its last sample, without ffmpeg, which is not ours to test."""
    with mock.patch.dict(os.environ, PATH=str(folder)):
        list(Recording("fuzz", _file(folder / "sound.wav", data), "fast").blocks())


def pcm(data: bytes, _: Path) -> None:
    """Raw samples after a line with their format."""
    head, _separator, body = data.partition(b"\n")
    list(RawPcm("fuzz", io.BytesIO(body), PcmFormat.parse(head.decode(errors="replace"))).blocks())  # type: ignore[arg-type]


def metadata(data: bytes, folder: Path) -> None:
    """UrbanSound8K's list of clips, whose files lie in its folder."""
    (folder / "metadata").mkdir(exist_ok=True)
    _file(folder / "metadata" / "UrbanSound8K.csv", data)
    for clip in read_metadata(folder):
        assert clip.path.parent.parent == folder / "audio"
        clip.path.exists()


def recipe(data: bytes, _: Path) -> None:
    """A training recipe."""
    parse_recipe(data.decode("utf-8", "replace"), "a recipe")


def calibration(data: bytes, folder: Path) -> None:
    """A place's thresholds."""
    load_calibration(_file(folder / "calibration.json", data), SMALL_CONTRACT)


def model(data: bytes, folder: Path) -> None:
    """An ONNX model, up to a window of silence through it."""
    load_classifier_file(_file(folder / "model.onnx", data), "cpu")


def checkpoint(data: bytes, folder: Path) -> None:
    """A checkpoint, up to its network."""
    load_network(_file(folder / "network.pt", data))


def journal(data: bytes, folder: Path) -> None:
    """A journal's file, salvaged where it is damaged: read, continued, trimmed, and its open events ended."""
    for old in folder.glob("journal.db*"):
        old.unlink()
    with contextlib.closing(JournalStore(_file(folder / "journal.db", data))) as store:
        for line in store.open_events():
            with contextlib.suppress(msgspec.DecodeError, ValueError):  # as it documents; the daemon logs it
                interrupted_line(line, 0)
        list(read_lines(store, parse_filter(datetime.now(UTC), since="7d")))
        all_labels(store)
        store.cursors()
        store.commit([StoredLine(store.last_seq() + 1, "", "stats", None, None, None, b"{}\n")])
        store.trim(RetentionLimits(max_age_s=3600.0, max_bytes=1 << 20))


def ffmpeg_messages(data: bytes, _: Path) -> None:
    """Parse messages of ffmpeg, with the address in them."""
    url, *lines = data.decode(errors="replace").split("\n")
    address = f"rtsp://{url}"
    with contextlib.suppress(SoundwatchError):
        check_address(address)
        messages = tuple(_without_secrets(line, address) for line in lines)
        for received in (True, False):
            explained = explain_end(messages, received=received)
            assert explained in messages or not explained or explained[:-1] in {reason for _, reason in KNOWN_FAULTS}


def credentials(data: bytes, folder: Path) -> None:
    """Files with the credentials of a broker and of a webhook."""
    path = str(_file(folder / "secret", data))
    with contextlib.suppress(SoundwatchError):
        parse_broker(parse_sink("mqtt://h"), BrokerOptions(credentials_file=path))
    for option in ("url_file", "secret_file", "token_file", "template"):
        with contextlib.suppress(SoundwatchError):
            load_settings(parse_sink("webhook:http://h/p"), msgspec.convert({option: path}, WebhookOptions))


def mqtt_message(data: bytes, _: Path) -> None:
    """A message of a machine to a fleet, and the fleet's request."""
    topic, _separator, payload = data.partition(b"\n")
    message = MqttMessage(topic.decode(errors="replace"), payload, received_unix_ns=time.time_ns())
    with contextlib.suppress(ValueError):  # as it documents; the collector logs it
        parse_message(message)
    with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
        msgspec.json.decode(payload, type=ResendRequest)


def http_request(data: bytes, _: Path) -> None:
    """The parts of an HTTP request that we parse: queries, a body, and a header of an answer."""
    for query in (EventsQuery, LinesQuery, CountsQuery):
        with contextlib.suppress(RequestRefused):
            parse_query(data, query)
    with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
        msgspec.json.decode(data, type=LabelBody)
    assert 0 <= retry_after_s(data.decode("latin-1"), 1e9) <= 3600


def addresses(data: bytes, _: Path) -> None:
    """Sinks and addresses as a user writes them, and their redaction."""
    text = data.decode(errors="replace")
    for redact in (redact_url, redact_text, redact_sink):
        redact(text)
    with contextlib.suppress(SoundwatchError):
        spec = parse_sink(text)
        sink_key(text)
        sink_port(spec)


READERS: Final[dict[str, Reader]] = {
    reader.__name__: reader
    for reader in (
        *(configuration, contract, recording, pcm, metadata, recipe, calibration, model, checkpoint),
        *(journal, ffmpeg_messages, credentials, mqtt_message, http_request, addresses),
    )
}


def read(name: str, data: bytes, folder: Path) -> None:
    """Let a reader take or refuse some bytes."""
    with contextlib.suppress(SoundwatchError):
        READERS[name](data, folder)


def seed(name: str, folder: Path) -> bytes:
    """Valid input of a reader."""
    if name == "recording":
        import soundfile

        soundfile.write(folder / "seed.wav", tone(300, 0.05).T, 8000, subtype="PCM_16")
        return (folder / "seed.wav").read_bytes()
    if name == "model":
        return write_band_model(folder / "seed.onnx").read_bytes()
    if name == "checkpoint":
        return write_checkpoint(folder / "seed.pt").read_bytes()
    if name == "journal":
        write_journal(folder / "seed.db", hello("siren"), event("A" * 26, type_="start"), event("B" * 26)).close()
        return (folder / "seed.db").read_bytes()
    return _TEXTS[name].encode() if name in _TEXTS else shipped_recipes()["tutorial"].encode()


_TEXTS: Final = {
    "configuration": "node: a\nsources: {mic0: {device: default, channels: 1}}\n"
    "detection: {threshold: 0.5, cooldown_s: 3, classes: {low: {enabled: true, max_duration_s: 9.5}}}\nsinks: [json]\n",
    "contract": encode_contract(SMALL_CONTRACT),
    "pcm": "s24le,8000,2\n" + "sample" * 50,
    "metadata": "slice_file_name,fsID,start,end,salience,fold,classID,class\n1-3-0-0.wav,1,0.0,0.3,1,5,3,dog_bark\n",
    "ffmpeg_messages": "cam:secret%40@camera:554/live?password=hidden\n[rtsp @ 0x5] method DESCRIBE failed: 401\n",
    "credentials": "daemon\nwhsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=\n",
    "mqtt_message": 'soundwatch/balcony/lines/ab12\n{"seq":1,"time":"2026-09-21T14:13:21.000Z","type":"start",'
    '"node":"balcony","source":"mic0","class":"siren","score":0.5}',
    "http_request": "since=2026-09-21T14%3A13%3A21Z&class=siren&limit=20&min_score=0.5",
    "addresses": "webhook:https://hooks.example.com/secret,template=slack,timeout_s=5",
    "calibration": msgspec.json.encode(
        Calibration(
            model=SMALL_CONTRACT.identity,
            background_h=1.0,
            target_per_h=0.1,
            classes={
                label: ClassCalibration(threshold=0.5, false_events=0, rate_upper_per_h=3.0, highest_score=0.4)
                for label in SMALL_CONTRACT.labels
            },
        )
    ).decode(),
}


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
