"""No line is lost or repeated without a mark during failures of broker, program and disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.delivery_loss import Trial, small_disk

DISK_BYTES = 12_000_000


@pytest.fixture
def trial(tmp_path: Path, mosquitto_folder: Path) -> Iterator[Trial]:
    try:
        with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
            trial = Trial(mosquitto_folder, disk)
            yield trial
            trial.close()
    except PermissionError as error:
        pytest.skip(str(error))


@pytest.mark.skipif(os.name != "posix", reason="it kills")
def test_failures_of_broker_program_and_disk_lose_no_line(trial: Trial) -> None:
    trial.start_daemon()
    trial.wait_for_lines(200)
    trial.kill_broker()
    trial.wait_for_lines(300)
    trial.kill_daemon()
    trial.start_daemon()
    trial.wait_for_lines(400)
    trial.start_broker()
    trial.wait_for_lines(500)
    trial.disk.fill()
    trial.wait_for_lines(700)
    trial.kill_daemon()
    trial.start_daemon()
    trial.wait_for_lines(900)
    trial.disk.free()
    trial.wait_for_lines(1100)
    account = trial.finish()
    assert account.events > 400
    assert (account.file_lost, account.broker_lost) == (0, 0), account
    assert (account.unmarked, account.broken, account.renumbered) == (0, 0, 0), account
    assert account.repeated > 0, "kills do make repeats, or the trial tries nothing"
