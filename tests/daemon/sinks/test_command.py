"""The command sink with real programs that succeed, fail, hang, or leave child processes."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import ConfigError, SinkError
from support.mosquitto import wait_until
from support.sink_harness import SinkHarness

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs here are shell scripts")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def is_alive(process_id: int) -> bool:
    """Return True if the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_has_the_line_on_its_input_and_the_fields_in_its_environment(
    harness: SinkHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    out = tmp_path / "out"
    fields = "$SOUNDWATCH_TYPE $SOUNDWATCH_CLASS $SOUNDWATCH_SCORE $SOUNDWATCH_DURATION_S [$MQTT_PASSWORD]"
    hook = script(tmp_path / "hook", f'cat >>{out}; echo "{fields}" >>{out}')
    worker = harness.open(f"command:{hook}")
    harness.event("start")
    harness.event("update")
    harness.event("end")
    harness.wait_for(worker)
    start, start_fields, end, end_fields = out.read_text().splitlines()
    assert [json.loads(line)["type"] for line in (start, end)] == ["start", "end"], "updates are not asked for"
    assert start_fields == "start dog_bark 0.93  []"
    assert end_fields == "end dog_bark 0.93 13.0 []"


def test_types_choose_the_lines(harness: SinkHarness, tmp_path: Path) -> None:
    out = tmp_path / "out"
    worker = harness.open(f"command:{script(tmp_path / 'hook', f'echo $SOUNDWATCH_TYPE >>{out}')},types=update+hello")
    harness.hello()
    for type_ in ("start", "update", "end"):
        harness.event(type_)
    harness.wait_for(worker)
    assert out.read_text().split() == ["hello", "update"]


def test_a_changed_exit_of_programs_is_logged_with_their_output(harness: SinkHarness, tmp_path: Path) -> None:
    hook = script(tmp_path / "hook", f"echo it is over >&2; test ! -e {tmp_path}/bad || exit 3")
    worker = harness.open(f"command:{hook}")
    for bad in (False, True, True, False):
        (tmp_path / "bad").touch() if bad else (tmp_path / "bad").unlink(missing_ok=True)
        harness.event("start")
        harness.wait_for(worker)
    assert harness.logged() == ["command_status_changed"] * 2
    assert [fields["exit_status"] for fields in harness.log.fields("command_status_changed")] == [
        "exit code 3",
        "exit code 0",
    ]
    assert [fields["output"] for fields in harness.log.fields("command_finished")] == ["it is over"] * 4
    assert worker.status.state == "working", "an event is done with when its program has ended"


@pytest.mark.slow
def test_a_hanging_program_is_killed_with_all_that_it_has_started(harness: SinkHarness, tmp_path: Path) -> None:
    hook = script(tmp_path / "hook", f"sleep 1000 & echo $! >{tmp_path}/child; sleep 1000")
    worker = harness.open(f"command:{hook},timeout_s=0.5")
    harness.event("start")
    harness.wait_for(worker)
    assert [fields["exit_status"] for fields in harness.log.fields("command_status_changed")] == ["killed after 0.5 s"]
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not is_alive(child))


def test_a_program_that_never_reads_its_input_is_killed_after_its_time(harness: SinkHarness, tmp_path: Path) -> None:
    worker = harness.open(f"command:{script(tmp_path / 'hook', 'exec sleep 1000')},types=hello,timeout_s=0.2")
    harness.hello(description="a" * 200_000)  # more than a pipe takes
    harness.wait_for(worker)
    assert [fields["exit_status"] for fields in harness.log.fields("command_status_changed")] == ["killed after 0.2 s"]


def test_a_program_that_prints_before_it_reads_has_the_whole_line(harness: SinkHarness, tmp_path: Path) -> None:
    hook = script(tmp_path / "hook", f"head -c 300000 /dev/zero; wc -c >{tmp_path}/bytes")
    worker = harness.open(f"command:{hook},types=hello")
    harness.hello(description="a" * 200_000)
    harness.wait_for(worker)
    assert int((tmp_path / "bytes").read_text()) > 200_000


def test_a_process_of_another_session_that_holds_the_output_delays_nothing(
    harness: SinkHarness, tmp_path: Path
) -> None:
    hook = script(
        tmp_path / "hook", f"echo ready; setsid sh -c 'echo $$ >>{tmp_path}/children; exec sleep 1000' &\nsleep 0.1"
    )
    worker = harness.open(f"command:{hook}")
    threads = threading.active_count()
    for _ in range(3):
        harness.event("start")
    harness.wait_for(worker)
    children = [int(line) for line in (tmp_path / "children").read_text().split()]
    assert len(children) == 3
    assert all(is_alive(child) for child in children)
    assert [fields["output"] for fields in harness.log.fields("command_finished")] == ["ready"] * 3
    assert threading.active_count() == threads, "no thread waits for the output"
    for child in children:
        os.kill(child, signal.SIGKILL)


def test_remaining_children_of_a_program_are_killed_at_its_end(harness: SinkHarness, tmp_path: Path) -> None:
    hook = script(tmp_path / "hook", f"for i in 1 2 3 4 5; do sleep 1000 & echo $! >>{tmp_path}/children; done")
    worker = harness.open(f"command:{hook}")
    harness.event("start")
    harness.wait_for(worker)
    assert harness.logged() == []
    children = [int(line) for line in (tmp_path / "children").read_text().split()]
    assert len(children) == 5
    wait_until(lambda: not any(is_alive(child) for child in children))


@pytest.mark.slow
def test_the_number_of_concurrent_programs_is_limited(harness: SinkHarness, tmp_path: Path) -> None:
    running = tmp_path / "running"
    running.mkdir()
    hook = script(tmp_path / "hook", f"touch {running}/$$; ls {running} | wc -l >>{tmp_path}/counts; rm {running}/$$")
    worker = harness.open(f"command:{hook},max_parallel=3")
    for _ in range(30):
        harness.event("start")
    harness.wait_for(worker)
    counts = [int(count) for count in (tmp_path / "counts").read_text().split()]
    assert len(counts) == 30
    assert max(counts) <= 3


@pytest.mark.slow
def test_a_program_that_writes_without_end_takes_no_memory(harness: SinkHarness, tmp_path: Path) -> None:
    worker = harness.open(f"command:{script(tmp_path / 'hook', 'yes')},timeout_s=0.5")
    harness.event("start")
    harness.wait_for(worker)
    assert len(harness.log.written[0][1]["output"]) <= 4096


def test_a_program_that_cannot_be_started_is_tried_again(harness: SinkHarness, tmp_path: Path) -> None:
    hook = script(tmp_path / "hook", f"echo >>{tmp_path}/out")
    worker = harness.open(f"command:{hook}")
    hook.chmod(0o644)
    hook.rename(tmp_path / "away")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    (tmp_path / "away").rename(hook)
    hook.chmod(0o755)
    harness.wait_for(worker)
    assert (tmp_path / "out").read_text() == "\n"


def test_a_program_that_runs_when_the_daemon_stops_is_killed_and_its_event_kept(tmp_path: Path) -> None:
    hook = script(tmp_path / "hook", f"echo $$ >{tmp_path}/process; sleep 1000")
    harness = SinkHarness(tmp_path / "journal.db")
    harness.open(f"command:{hook}")
    harness.event("start")
    process = int(wait_until(lambda: (tmp_path / "process").exists() and (tmp_path / "process").read_text()))
    harness.journal.flush()
    assert harness.dispatcher.close(0.1) == {f"command:{hook}": 1}
    harness.journal.close()
    wait_until(lambda: not is_alive(process))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("command", "command:PATH was expected"),
        ("command:/bin/sh,max_parallel=0", "max_parallel"),
        ("command:/bin/sh,types=begin", "begin is no type of line"),
        ("command:/bin/sh,types=sstart", "did you mean start?"),
    ],
)
def test_an_impossible_value_is_refused(harness: SinkHarness, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        harness.open(text)
    assert message in str(refused.value)


def test_a_missing_program_fails_the_sink_and_the_check(harness: SinkHarness, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("echo")
    for name, reason in (("none", "is no file"), ("n" * 300, "is no file"), ("text", "cannot be executed")):
        with pytest.raises(SinkError, match=reason):
            harness.prepare(f"command:{tmp_path}/{name}").check()
        assert reason in str(harness.open(f"command:{tmp_path}/{name}").status.reason)


def test_the_former_name_of_max_parallel_is_accepted(harness: SinkHarness) -> None:
    assert harness.prepare("command:/bin/sh,at_once=3").batch_lines == 3
