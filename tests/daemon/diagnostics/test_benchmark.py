"""`soundwatch bench` with a small model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.cli.bench import benchmark_chart, benchmark_table
from soundwatch.daemon.core.errors import ProviderError
from soundwatch.daemon.diagnostics import benchmark
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
def test_every_batch_size_has_its_cost_and_number_of_streams(measured: BenchmarkResult) -> None:
    assert [cost.batch_windows for cost in measured.networks] == list(BATCHES)
    for cost in measured.networks:
        assert cost.provider == "CPUExecutionProvider"
        assert 0 < cost.window_ms_least <= cost.window_ms <= cost.window_ms_most
        assert cost.streams > 0
    assert measured.path_ms > 0
    assert 0 < measured.level_ms < measured.bands_ms
    assert measured.int8 is None


@pytest.mark.slow
def test_the_result_is_shown_as_a_table_and_a_chart(measured: BenchmarkResult, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert "sound level meter, if on" in benchmark_table(measured)
    assert benchmark_table(measured).count("CPUExecutionProvider") == len(BATCHES)
    benchmark_chart(measured, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("path_ms", "network_ms", "cores", "streams"), [(0.6, 1.0, 1, 500), (0.6, 1.0, 2, 800), (1.6, 1.0, 2, 500)]
)
def test_the_number_of_streams_depends_on_one_or_two_cores(
    path_ms: float, network_ms: float, cores: int, streams: int
) -> None:
    assert streams_carried(path_ms, network_ms, cores) == streams


def test_a_shipped_model_is_compared_with_its_int8_version(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PATH_S": 1, "METER_S": 1, "BATCHES": (1,), "ROUNDS": 1}.items():
        monkeypatch.setattr(benchmark, name, value)
    progress: list[str] = []
    result = run_benchmark("urban", ("cpu",), progress.append)
    assert result.int8 is not None
    assert result.int8.batch_windows == 1
    assert progress[-1] == "measuring: urban-int8"
    assert "--model urban-int8, in 8-bit integers: " in benchmark_table(result)


def test_unavailable_providers_are_refused(tmp_path: Path) -> None:
    model = write_band_model(tmp_path / "bands.onnx")
    with pytest.raises(ProviderError, match="None of nonesuch is available on this machine"):
        run_benchmark(str(model), ("nonesuch",), lambda _: None)
