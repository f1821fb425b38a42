from __future__ import annotations

import os

import pytest

from soundwatch.daemon.capture.descriptors.quiet_stderr import capture_native_stderr


def native_print(line: str) -> None:
    os.write(2, f"{line}\n".encode())


def test_alsas_reasons_are_kept_portaudios_trace_is_dropped_and_the_rest_passes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with capture_native_stderr() as reasons:
        native_print("ALSA lib pulse.c:242:(pulse_connect) PulseAudio: Unable to connect: Connection refused")
        native_print("Expression 'ret' failed in 'src/hostapi/alsa/pa_linux_alsa.c', line: 1736")
        native_print("another thread's log")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "another thread's log\n"
    assert reasons == ["ALSA lib pulse.c:242:(pulse_connect) PulseAudio: Unable to connect: Connection refused"]


def test_mpg123s_messages_are_kept_as_reasons(capfd: pytest.CaptureFixture[str]) -> None:
    line = "[src/libmpg123/layer3.c:1869] error: dequantization failed!"
    with capture_native_stderr() as reasons:
        native_print(line)
    assert (reasons, capfd.readouterr().err) == ([line], "")


def test_a_jack_server_that_does_not_run_is_no_message(capfd: pytest.CaptureFixture[str]) -> None:
    with capture_native_stderr() as reasons:
        native_print("Cannot connect to server socket err = No such file or directory")
        native_print("Cannot connect to server request channel")
        native_print("jack server is not running or cannot be started")
        native_print("JackShmReadWritePtr::~JackShmReadWritePtr - Init not done for -1, skipping unlock")
    assert (reasons, capfd.readouterr().err) == ([], "")


def test_a_bar_that_is_drawn_meanwhile_gets_no_end_of_line(capfd: pytest.CaptureFixture[str]) -> None:
    with capture_native_stderr():
        os.write(2, b"\r\x1b[2KDecoding 22%")
    assert capfd.readouterr().err == "\r\x1b[2KDecoding 22%"


def test_stderr_is_given_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), capture_native_stderr():
        raise ValueError("broken")
    native_print("printed again")
    assert capfd.readouterr().err == "printed again\n"


def test_a_program_without_stderr_can_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    with capture_native_stderr() as reasons:
        pass
    assert reasons == []
