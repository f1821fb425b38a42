"""Options with values that no program can use end a command with a message."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from soundwatch.daemon.cli import main, soundwatch
from soundwatch.daemon.cli.options import parse_start
from soundwatch.daemon.core.errors import ConfigError, SinkError, SoundwatchError, StoreError
from soundwatch.daemon.system.standard_streams import standard_streams


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9999-12-31T23:59:59Z", "outside the years 1900 to 9998"),
        ("0001-01-01T00:00:00+02:00", "outside the years 1900 to 9998"),
        ("2026-02-30T00:00:00Z", "is no time"),
        ("2026-01-01", "has no zone"),
    ],
)
def test_a_start_is_a_time_that_lines_can_hold(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_start(text)


@pytest.mark.parametrize(
    "arguments",
    [
        "tail -n 99999999999999999999",
        "fleet events -n 99999999999999999999",
        "fleet watch --keep-days nan",
        "fleet watch --keep-days 1e300",
        "privacy audit --watch nan",
        "privacy audit --watch inf",
        "calibrate-level --level nan",
        "evaluate m.onnx --minutes nan",
        "evaluate m.onnx --minutes inf",
        "train --data d --lr nan",
    ],
)
def test_a_number_beyond_its_range_is_refused(arguments: str) -> None:
    result = CliRunner().invoke(soundwatch, arguments.split())
    assert result.exit_code == 2
    assert "Invalid value for" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("calibrate --background 99999999999999999999", "at most 604800 s, a week"),
        ("calibrate --background 599.99", "has 599 s; at least 600 s"),
        ("calibrate --background x.wav --target \N{ARABIC-INDIC DIGIT THREE}/h", "is no rate"),
        ("classify x.wav --backend triton://127.0.0.1:65536", "a port up to 65535"),
        ("classify x.wav --backend triton://127.0.0.1:0", "a port up to 65535"),
        ("replay x.wav -F json -F json", "its place is that of another sink"),
        ("replay x.wav -F json:a.jsonl -F json:./b/../a.jsonl", "its place is that of another sink"),
        ("replay x.wav -F json:", "json without a colon is standard output"),
        ("replay x.wav -F json:-", "json without a colon is standard output"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_before_anything_is_read(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(soundwatch, arguments.split())
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert not {path.name for path in tmp_path.iterdir()} - {"state"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("check-config a.yaml --config b.yaml", "a.yaml and --config b.yaml are two files"),
        ("check-config a.yaml --migrate --effective", "give one of them"),
        ("check-config --migrate /dev/stdin", "is a pipe or a device, which cannot be read again"),
        ("check-config --migrate none.yaml", "none.yaml cannot be read: No such file"),
        ("clips pictures --clips none", "There is no folder of clips at none"),
        ("teach out --clips none", "There is no folder of clips at none"),
        ("tail --journal memory", "in the memory of the program that writes it"),
    ],
)
def test_a_request_that_cannot_be_met_is_no_silent_success(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(soundwatch, arguments.split())
    assert result.exit_code
    assert message in f"{result.output}{result.exception}"


def test_a_configuration_from_a_pipe_is_read_once() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"sinks: [{sink: 'command:/bin/true', at_once: 2}]")
    os.close(writer)
    try:
        result = CliRunner().invoke(soundwatch, ["check-config", f"/dev/fd/{reader}"])
    finally:
        os.close(reader)
    assert result.exit_code == 0
    assert "# sinks: at_once is the former name of max_parallel" in result.output


def test_a_start_may_have_the_small_letters_of_rfc_3339() -> None:
    assert parse_start("2026-11-22t08:15:00z") == parse_start("2026-11-22T08:15:00Z")


def test_characters_that_standard_output_cannot_hold_are_written_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "latin-1"))
    with standard_streams():
        sys.stdout.write("Stra\xdfe \N{DOG}\n")
        sys.stdout.flush()
    assert written.getvalue() == b"Stra\xdfe \\U0001f415\n"


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("street.wav", "is the recording"),
        ("none/c.json", "cannot be written"),
        ("/dev/null", "cannot be written"),
        ("c" * 300, "cannot be written"),
    ],
)
def test_an_output_of_a_calibration_is_checked_before_the_sound_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("street.wav").write_bytes(b"sound")
    result = CliRunner().invoke(soundwatch, ["calibrate", "--background", "street.wav", "--out", out])
    assert isinstance(result.exception, ConfigError | SinkError)
    assert message in str(result.exception)
    assert Path("street.wav").read_bytes() == b"sound"


@pytest.mark.parametrize(
    "arguments",
    [
        "export-events out.csv",
        "digest -o out.csv",
        "backup out.csv",
        "scan x.wav --out out.csv",
        "calibrate --background x.wav --out out.csv",
        "fleet events --store fleet.db --out out.csv",
        "bench --plot out.csv",
    ],
)
def test_an_output_that_exists_is_refused_before_the_work(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out.csv").write_text("mine")
    result = CliRunner().invoke(soundwatch, arguments.split())
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == "out.csv exists. Name another place, or add --overwrite to replace it."
    assert Path("out.csv").read_text() == "mine"


@pytest.mark.parametrize("arguments", ["fleet events --store out.csv", "export-events --journal out.csv"])
def test_a_file_that_the_command_reads_is_not_replaced(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out.csv").write_text("mine")
    words = [*arguments.split(), *(["--out"] if "fleet" in arguments else []), "out.csv", "--overwrite"]
    result = CliRunner().invoke(soundwatch, words)
    assert "out.csv is read by this command" in str(result.exception)
    assert Path("out.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "arguments",
    [
        "export-events -",
        "digest -o -",
        "backup -",
        "scan x.wav --out -",
        "calibrate --background x.wav --out -",
        "fleet events --out -",
        "bench --plot -",
        "teach -",
    ],
)
def test_no_file_is_named_as_standard_output(arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(soundwatch, arguments.split())
    assert result.exit_code == 2
    assert "- is no file" in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", ""),
        ("classify", "x.wav", ""),
        ("scan", "", "--out", "x.csv"),
        ("scan", "x.wav", "--out", ""),
        ("run", "--config", ""),
        ("run", "--clips="),
        ("tail", "--journal", ""),
        ("check-config", ""),
        ("backup", ""),
        ("restore", ""),
        ("teach", ""),
        ("calibrate", "--background", ""),
        ("fleet", "events", "--store="),
    ],
)
def test_an_empty_path_is_no_name_of_the_current_folder(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(soundwatch, arguments)
    assert result.exit_code == 2
    assert "the path is empty" in result.output
    assert not list(tmp_path.iterdir())


def test_an_empty_day_is_not_today() -> None:
    result = CliRunner().invoke(soundwatch, ["digest", "--day="])
    assert isinstance(result.exception, ConfigError)
    assert "'' is not a date" in str(result.exception)


@pytest.mark.parametrize("arguments", [["replay"], ["classify"], ["check-config"], ["tail", "--no\x1b[31m"]])
def test_a_message_has_no_control_characters_of_a_name(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, str(tmp_path / "\x1b[31m.wav")])
    shown = capfd.readouterr()
    assert ended.value.code in (2, 4)
    assert "\\x1b[31m" in shown.err
    assert "\x1b" not in shown.out + shown.err


@pytest.mark.parametrize("arguments", [["schema"], ["--help"], ["tail", "--help"], ["--version"]])
def test_a_reader_of_standard_output_that_goes_ends_a_command_without_a_message(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as without_reader, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", without_reader)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    assert ended.value.code == 6
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("word", "meant"), [("rpelay", "did you mean replay?"), ("help", "--help` lists all")])
def test_an_unknown_command_is_answered_with_the_nearest(word: str, meant: str) -> None:
    result = CliRunner().invoke(soundwatch, [word, "x.wav"])
    assert result.exit_code == 2
    assert f"No such command '{word}'" in result.output
    assert meant in result.output


@pytest.mark.parametrize(
    "arguments", ["backup", "export-events --format csv", "digest -o", "teach --clips .", "fleet nodes --store"]
)
def test_a_name_that_is_too_long_for_the_system_is_refused_with_a_message(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    journal = [] if "fleet" in arguments else ["--journal", "none.db"]
    result = CliRunner().invoke(soundwatch, [*arguments.split(), "n" * 300, *journal])
    assert isinstance(result.exception, SoundwatchError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fleet nodes", "There is no fleet store at"),
        ("fleet watch --broker mqtt://127.0.0.1:1", "cannot be made: Not a directory. Give a --store."),
    ],
)
def test_a_default_store_whose_folder_cannot_be_made_is_refused_with_a_message(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file" / "state"))
    result = CliRunner().invoke(soundwatch, arguments.split())
    assert message in str(result.exception)
    assert isinstance(result.exception, StoreError)
