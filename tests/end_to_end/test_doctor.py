"""`soundwatch doctor` on machines where all is well and where something is not."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.cli import main
from soundwatch.daemon.diagnostics.doctor import storage_checks as keeping_module
from soundwatch.daemon.diagnostics.doctor.checks import run_checks
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding, findings_text
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.spec import SinkSpec
from support.cli_runner import soundwatch
from support.virtual_microphone import VirtualMicrophone

FAULTY = 10


Doctor = Callable[..., tuple[int, str, str]]


@pytest.fixture
def doctor(capfd: pytest.CaptureFixture[str]) -> Doctor:
    """Runs the command in this process, and returns its exit code, its output and its log."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["doctor", *map(str, arguments)])
        output, log = capfd.readouterr()
        assert "Traceback" not in log, log
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, output, log

    return run


def found(doctor: Doctor, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    code, output, _ = doctor("--json", *arguments)
    return code, json.loads(output)


def of(findings: list[dict[str, Any]], part: str) -> str:
    return "\n".join(
        f"{finding['state']}: {finding['seen']} {finding['todo']}" for finding in findings if finding["part"] == part
    )


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_recording_as_the_only_source_needs_nothing(tmp_path: Path) -> None:
    config = written(tmp_path / "config.yaml", "sources: {street: {device: demo}}")
    done = soundwatch("doctor", "--json", "--config", config)  # other tests of this process may have used CUDA
    findings = json.loads(done.stdout)
    assert done.returncode == 0
    assert not [finding for finding in findings if finding["state"] == "fault"]
    assert "urban@sha256:" in of(findings, "model")
    assert "CUDA is not used: " in of(findings, "model") or "CUDA" in of(findings, "model")
    assert "as measured" not in of(findings, "model"), "no CUDA session has started here"
    assert "sources.street.device: demo" in of(findings, "configuration")
    assert "SQLite" in of(findings, "versions")
    assert of(findings, "calibration") == ""


def sound_file(path: Path, left: float, right: float) -> Path:
    """Five minutes of stereo noise with a gain for each channel, since a busy machine is slow to probe."""
    noise = np.random.default_rng(0).normal(0, 0.1, 300 * 8000)
    soundfile.write(path, np.stack([left * noise, right * noise], axis=1), 8000)
    return path


@pytest.mark.parametrize(
    ("gains", "code", "state"),
    [((1.0, 0.8), 0, "ok"), (None, FAULTY, "fault"), ((1.0, -1.0), FAULTY, "fault"), ((1.0, 0.0), 0, "warning")],
    ids=["good", "silent", "channels cancel", "one channel silent"],
)
def test_a_microphone_is_probed_and_the_severity_is_that_of_its_sound(
    virtual_microphone: VirtualMicrophone, tmp_path: Path, gains: tuple[float, float] | None, code: int, state: str
) -> None:
    config = written(tmp_path / "config.yaml", "sources: {mic0: {device: pulse}}")
    playing = None
    if gains is not None:
        playing = virtual_microphone.start_playing(sound_file(tmp_path / "noise.wav", *gains))
    done = soundwatch("doctor", "--json", "--config", config, env=virtual_microphone.env)
    findings = json.loads(done.stdout)
    if playing is not None:
        playing.kill()
        playing.wait(60)
    assert "ok: source mic0 is pulse" in of(findings, "microphones")
    assert [finding["state"] for finding in findings if finding["part"] == "probe"] == [state], of(findings, "probe")
    assert done.returncode == code


def test_a_microphone_that_is_not_there_is_a_fault(doctor: Doctor, tmp_path: Path) -> None:
    code, findings = found(
        doctor, "--config", written(tmp_path / "config.yaml", "sources: {mic0: {device: no such thing}}")
    )
    assert code == FAULTY
    assert "fault: source mic0: " in of(findings, "microphones")
    assert of(findings, "probe") == ""
    assert "`soundwatch calibrate --background 3600 --source mic0 --config " in of(findings, "calibration")


def test_a_configuration_that_does_not_read_is_a_fault_and_the_rest_is_looked_at(
    doctor: Doctor, tmp_path: Path
) -> None:
    code, findings = found(doctor, "--config", written(tmp_path / "config.yaml", "sorces: {}"))
    assert code == FAULTY
    assert "did you mean `sources`?" in of(findings, "configuration")
    assert "soundwatch" in of(findings, "versions")


@pytest.mark.parametrize(
    "text",
    [
        "sources: {cam: {device: 'rtsp://me:secret@127.0.0.1:1/stream'}}",
        "sources: {cam: {device: 'rtsp://127.0.0.1:1/stream?user=me&password=secret'}}",
        "sinks: ['webhook:http://127.0.0.1:1/hooks/secret']",
        "sinks: ['webhook:http://127.0.0.1:1/x,hmac_key=secret']",
        "sinks: ['mqtt://me:secret@127.0.0.1:1']",
        "sinks: ['webhok:http://me:secret@127.0.0.1:1/x']",
        "sinks: ['command:/bin/true --token secret', 'tcp://127.0.0.1:1']",
    ],
)
def test_no_finding_contains_a_secret(doctor: Doctor, tmp_path: Path, text: str) -> None:
    config = written(tmp_path / "config.yaml", f"{text}\n")
    _, output, log = doctor("--no-probe", "--config", config)
    assert "secret" not in output + log
    assert "127.0.0.1" in output


def test_a_damaged_journal_and_a_folder_that_is_not_there_are_faults(doctor: Doctor, tmp_path: Path) -> None:
    journal = written(tmp_path / "journal.db", "no journal at all" * 1000)
    text = f"sources: {{street: {{device: demo}}}}\njournal: {{path: {journal}}}\nsinks: ['json:{tmp_path}/no/x.jsonl']"
    code, findings = found(doctor, "--config", written(tmp_path / "config.yaml", text))
    assert code == FAULTY
    assert "fault: " in of(findings, "journal")
    assert "fault: json " in of(findings, "sinks")


def test_lines_that_wait_for_a_sink_are_shown(doctor: Doctor, tmp_path: Path) -> None:
    from soundwatch.daemon.journal.entry import Cursor, StoredLine

    store = JournalStore(tmp_path / "journal.db")
    line = StoredLine(1, "2026-11-26T00:00:00.000Z", "gap", "mic0", None, None, b"{}\n")
    store.commit([line], [("mqtt", Cursor(0, 0))])
    store.close()
    text = f"sources: {{street: {{device: demo}}}}\njournal: {{path: {tmp_path}/journal.db}}"
    _, findings = found(doctor, "--config", written(tmp_path / "config.yaml", text))
    assert "1 line is kept for mqtt" in of(findings, "journal")
    assert "1 line, 2026-11-26" in of(findings, "journal")


def test_an_address_is_reached_or_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert keeping_module._reached(SinkSpec("tcp", f"//127.0.0.1:{port}", {})).state == "ok"
    gone = keeping_module._reached(SinkSpec("tcp", f"//127.0.0.1:{port}", {}))
    assert (gone.state, "does not answer" in gone.seen) == ("warning", True)


def test_a_part_that_cannot_be_looked_at_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: CheckInput) -> Any:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("soundwatch.daemon.diagnostics.doctor.checks.PARTS", (("clock", breaks),))
    findings = list(run_checks(CheckInput(None, None, None, listens=False, view=detached_view)))
    assert findings == [Finding("clock", "fault", "The check failed: ZeroDivisionError: oh", "Report this.")]
    assert "Faults: 1." in findings_text(findings)
