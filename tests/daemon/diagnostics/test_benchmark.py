"""`soundwatch bench`: what it says of a small model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.cli.bench import benchmark_chart, benchmark_table
from soundwatch.daemon.core.errors import ProviderError
from soundwatch.daemon.diagnostics.benchmark import BATCHES, BenchmarkResult, run_benchmark, streams_carried
from support.band_model import write_band_model
from support.cli_runner import soundwatch


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkResult:
    model = write_band_model(tmp_path_factory.mktemp("bench") / "bands.onnx")
    done = soundwatch("bench", "--json", "--model", model, "--provider", "cpu")
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=BenchmarkResult)


@pytest.mark.slow
def test_every_batch_has_its_cost_and_the_streams_that_it_can_carry(measured: BenchmarkResult) -> None:
    assert [each.batch_windows for each in measured.networks] == list(BATCHES)
    for each in measured.networks:
        assert each.provider == "CPUExecutionProvider"
        assert 0 < each.window_ms_least <= each.window_ms <= each.window_ms_most
        assert each.streams > 0
    assert measured.path_ms > 0


@pytest.mark.slow
def test_people_get_a_table_and_a_picture(measured: BenchmarkResult, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert benchmark_table(measured).count("CPUExecutionProvider") == len(BATCHES)
    benchmark_chart(measured, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("path_ms", "network_ms", "cores", "streams"), [(0.6, 1.0, 1, 500), (0.6, 1.0, 2, 800), (1.6, 1.0, 2, 500)]
)
def test_one_core_does_both_and_two_share(path_ms: float, network_ms: float, cores: int, streams: int) -> None:
    assert streams_carried(path_ms, network_ms, cores) == streams


def test_a_machine_that_has_none_of_the_providers_is_told_so(tmp_path: Path) -> None:
    model = write_band_model(tmp_path / "bands.onnx")
    with pytest.raises(ProviderError, match="None of nonesuch can be had here"):
        run_benchmark(str(model), ("nonesuch",), lambda _: None)
