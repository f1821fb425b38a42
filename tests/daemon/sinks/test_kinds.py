"""The table of output kinds: adding a kind changes only this table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from configuration_reference import sinks as sinks_reference

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.cli.options import sink_option
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput
from soundwatch.daemon.diagnostics.doctor.storage_checks import check_sinks
from soundwatch.daemon.diagnostics.network.configured_hosts import ConfiguredHost, configured_hosts
from soundwatch.daemon.diagnostics.privacy.audit import audit
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.rules.targets import prepare_target
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS, OutputKind, parse_sink, prepare_sink
from soundwatch.daemon.sinks.spec import PreparedSink, SinkSpec
from support.sink_harness import SinkHarness


class PagerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `pager`.

    Attributes:
        beeps: Number of beeps.
    """

    beeps: int = 1


class PagerSink:
    """A sink that counts its calls."""

    def __init__(self, beeps: int) -> None:
        self.count = 0
        self._beeps = beeps

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        self.count += self._beeps * len(entries)

    def close(self) -> None:
        self._beeps = 0


def test_a_kind_that_is_added_to_the_table_is_known_everywhere(
    harness: SinkHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[PagerSink] = []

    def prepare(spec: SinkSpec, options: PagerOptions, _: DaemonView) -> PreparedSink:
        def open_() -> PagerSink:
            opened.append(PagerSink(options.beeps))
            return opened[-1]

        return PreparedSink(spec.text, (spec.target,), open_, lambda: None, durable=True)

    kind = OutputKind("pager://HOST[:PORT]", "address", lambda: (PagerOptions, prepare), default_port=4444)
    monkeypatch.setitem(OUTPUT_KINDS, "pager", kind)
    config = Config(sinks=("pager://127.0.0.2,beeps=2",))

    worker = harness.open(config.sinks[0])
    harness.event("start")
    harness.wait_for(worker)
    assert opened[0].count == 2, "it runs"
    with pytest.raises(ConfigError, match="did you mean beeps"):
        harness.open("pager://127.0.0.2,beps=2")
    with pytest.raises(ConfigError, match=r"known sink; .*pager://HOST\[:PORT\]"):
        harness.open("page://")
    assert list(configured_hosts(config)) == [ConfiguredHost("sink pager", "127.0.0.2", 4444, listens=False)]
    assert [(destination.sink, destination.reach) for destination in audit(config).destinations] == [
        ("pager://127.0.0.2", "machine")
    ]
    (finding,) = check_sinks(CheckInput(config, None, Path("config.yaml"), listens=False, view=detached_view))
    assert "pager at 127.0.0.2" in finding.seen
    assert "| `pager` | `beeps` | `1` |" in sinks_reference()


@pytest.mark.parametrize("name", OUTPUT_KINDS)
def test_the_help_of_the_option_names_every_kind(name: str) -> None:
    option = sink_option(lambda: None).__click_params__[0]  # type: ignore[attr-defined]
    if name not in ("mqtts", "terminal"):
        assert name in option.help


def test_the_page_is_no_sink(harness: SinkHarness) -> None:
    with pytest.raises(ConfigError, match="is no sink"):
        harness.open("http://127.0.0.1:8433")


@pytest.mark.parametrize("text", ["webhook:http://[::1/x", "http://[::1", "mqtts://::1]:1", "tcp://]"])
def test_an_address_with_a_wrong_bracket_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="its address cannot be read"):
        parse_sink(text)


@pytest.mark.parametrize("text", ["webhook:http://a..b/x", "http://a..b", "mqtts://ä..ö", f"tcp://{'a' * 64}:1"])
def test_an_address_whose_host_can_have_no_name_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="between two dots, 1 to 63 characters were expected"):
        parse_sink(text)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("command:/bin/true,timeout_s=inf", "timeout_s"),
        ("webhook:http://h/,timeout_s=1e300", "timeout_s"),
        ("mqtt://h,level_s=inf", "level_s"),
    ],
)
def test_a_time_that_no_clock_waits_for_is_refused(harness: SinkHarness, text: str, option: str) -> None:
    with pytest.raises(ConfigError, match=f"Expected `number` <= .* at `{option}`"):
        prepare_sink(parse_sink(text), harness.view)


@pytest.mark.parametrize(
    "text",
    [
        "webhook:https://user:hunter2@h/x?token=abc,colour=1",
        "webhook:https://user:hunter2@h/x?token=abc,timeout_s=x",
        "webhok:https://user:hunter2@h/x?token=abc",
        "webhook:https://[hunter2]/x?token=abc",
        "mqtt://user:hunter2@h:x/",
        "mqtt://user:hunter2@h,colour=1",
        "tcp://user:hunter2@127.0.0.1",
        "http://user:hunter2@127.0.0.1/?token=abc",
        "json:https://user:hunter2@h/x?token=abc,colour=1",
        "apprise:ntfys://tok:hunter2@h/abc,colour=1",
    ],
)
def test_an_error_about_a_destination_shows_no_secret(text: str) -> None:
    view = SinkHarness().view
    for prepare in (lambda: prepare_sink(parse_sink(text), view), lambda: prepare_target("rules.a", text, view)):
        with pytest.raises(ConfigError) as refused:
            prepare()
        assert not any(secret in str(refused.value) for secret in ("hunter2", "abc", "tok:"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("json:/x\udcff/a.json", "-F json: its address is not UTF-8 at character 8"),
        ("webhook:http://host/\udcff", "-F webhook: its address is not UTF-8 at character 21"),
        ("webhook:,url_file=/x\udcff", r"-F webhook: the name webhook:/x\udcff is not UTF-8"),
    ],
)
def test_a_sink_whose_name_is_not_utf8_is_refused_with_a_sentence(
    harness: SinkHarness, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare_sink(parse_sink(text), harness.view)
    assert str(caught.value).startswith(message)


def test_a_relative_program_in_a_folder_whose_name_is_not_utf8_is_refused(
    harness: SinkHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x\udcff"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this system has no such names")
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match=r"-F command: the name command:.*/x\\udcff/p.sh is not UTF-8"):
        prepare_sink(parse_sink("command:p.sh"), harness.view)
