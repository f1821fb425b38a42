"""Measurement of the number of streams that this machine can carry.

Conventions: a stream is 48 kHz stereo noise, from samples to JSON lines. Costs are milliseconds of processor time for
the CPU, and of elapsed time for other devices. The number of streams is the largest that keeps the engine's two threads
busy for at most `FULL_SHARE` of the time, on one core or on two.
The sound level meter is not in that number: it is off by default.
Does not: apply to other models or rates, or to a machine with other load.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon import __version__
from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.core.errors import ProviderError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import INT8_SUFFIX, ModelContract
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.time.clock import WallClock
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.classifier import SHIPPED_MODELS, load_classifier_file
from soundwatch.daemon.inference.providers import CPU, CardOptions, candidate_accelerators
from soundwatch.daemon.level.meter import MeterState, measure
from soundwatch.daemon.sinks.direct import DirectWriter
from soundwatch.daemon.system.cores import usable_cores
from soundwatch.daemon.system.log import StructuredLogger
from soundwatch.daemon.system.log_output import StderrOutput

RATE_HZ: Final = 48_000
BLOCK_SAMPLES: Final = RATE_HZ // 10
PATH_S: Final = 60
METER_S: Final = 10
BATCHES: Final = (1, 2, 4, 8, 16)
ROUNDS: Final = 5
FULL_SHARE: Final = 0.8


class NetworkCost(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of the model with one provider and batch size.

    Attributes:
        provider: The provider, as reported by the runtime.
        batch_windows: Number of windows in a batch.
        window_ms: Cost of one window, median of the rounds.
        window_ms_least: Cost of one window in the fastest round.
        window_ms_most: Cost of one window in the slowest round.
        streams: Number of streams that the machine can carry.
    """

    provider: str
    batch_windows: int
    window_ms: float
    window_ms_least: float
    window_ms_most: float
    streams: int


class BenchmarkResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the measurement.

    Attributes:
        version: Version of soundwatch.
        model: Name and hash of the model.
        machine: The operating system's name of the machine.
        cores: Number of cores that this program may use.
        hop_s: Distance of two windows.
        path_ms: Cost of all stages but the model, for one second of one stream.
        level_ms: Further cost of the sound level meter, for one second of one stream.
        bands_ms: Cost of the meter with 1/3-octave bands.
        networks: Cost of the model, by provider and batch size.
        int8: Cost of the shipped int8 version of the model on the CPU, window by window; None without one.
    """

    version: str
    model: str
    machine: str
    cores: int
    hop_s: float
    path_ms: float
    level_ms: float
    bands_ms: float
    networks: tuple[NetworkCost, ...]
    int8: NetworkCost | None = None


def run_benchmark(model: str, provider_names: tuple[str, ...], progress: Callable[[str], object]) -> BenchmarkResult:
    """Measure a model with some providers.

    Args:
        model: A shipped model's name, or a file.
        provider_names: Names as for `load_classifier_file`; unavailable ones are skipped if another one is available.
            Empty for the CPU and the candidates of auto.
        progress: Called with a line about each part, before it is measured or after it is skipped.

    Raises:
        ModelError: The model cannot be used.
        ProviderError: None of the providers is available.
    """
    classifiers = _load(model, provider_names, progress)
    contract = classifiers[0].contract
    cores = usable_cores()
    hop_s = contract.features.window_hop_samples / contract.features.rate_hz
    progress("measuring: all stages but the model")
    path_ms = min(_path_ms(contract) for _ in range(ROUNDS))
    progress("measuring: the sound level meter")
    level_ms, bands_ms = (min(meter_ms(bands=bands) for _ in range(ROUNDS)) for bands in (False, True))
    networks = []
    for classifier in classifiers:
        for batch_windows in BATCHES:
            progress(f"measuring: {classifier.provider}, batches of {batch_windows}")
            networks.append(_network_cost(classifier, batch_windows, path_ms, hop_s, cores))
    int8 = None
    if f"{model}{INT8_SUFFIX}" in SHIPPED_MODELS and classifiers[0].provider == CPU:
        progress(f"measuring: {model}{INT8_SUFFIX}")
        int8_classifier = load_classifier_file(f"{model}{INT8_SUFFIX}", CPU)
        int8 = _network_cost(int8_classifier, 1, path_ms, hop_s, cores)
    return BenchmarkResult(
        version=__version__,
        model=contract.identity,
        machine=platform.platform(terse=True),
        cores=cores,
        hop_s=round(hop_s, 3),
        path_ms=round(path_ms, 4),
        level_ms=round(level_ms, 4),
        bands_ms=round(bands_ms, 4),
        networks=tuple(networks),
        int8=int8,
    )


def _load(model: str, provider_names: tuple[str, ...], progress: Callable[[str], object]) -> list[Classifier]:
    """Load a model with each provider that is available; `run_benchmark` describes the arguments and the errors."""
    classifiers: list[Classifier] = []
    for name in provider_names or usable_providers():
        try:
            classifiers.append(load_classifier_file(model, name))
        except ProviderError as error:
            progress(f"skipped: {error}")
    if not classifiers:
        raise ProviderError(f"None of {', '.join(provider_names)} is available on this machine. Omit --provider.")
    return classifiers


def _network_cost(classifier: Classifier, batch_windows: int, path_ms: float, hop_s: float, cores: int) -> NetworkCost:
    rounds_ms = [window_ms(classifier, batch_windows) for _ in range(ROUNDS)]
    typical_ms = statistics.median(rounds_ms)
    return NetworkCost(
        provider=classifier.provider,
        batch_windows=batch_windows,
        window_ms=round(typical_ms, 4),
        window_ms_least=round(min(rounds_ms), 4),
        window_ms_most=round(max(rounds_ms), 4),
        streams=streams_carried(path_ms, typical_ms / hop_s, cores),
    )


def usable_providers() -> tuple[str, ...]:
    """Return the providers that `auto` may select on this machine."""
    import onnxruntime

    found = candidate_accelerators(onnxruntime.get_available_providers(), CardOptions())
    return (CPU, *(name for name, reason in found.items() if reason is None))


def streams_carried(path_ms: float, network_ms: float, cores: int) -> int:
    """Return the number of streams that take `FULL_SHARE` of one core, or of one core for each thread.

    Args:
        path_ms: Cost of all stages but the model, for one second of a stream.
        network_ms: Cost of the model, for one second of a stream.
        cores: Number of cores.
    """
    busiest_ms = path_ms + network_ms if cores == 1 else max(path_ms, network_ms)
    return int(FULL_SHARE * 1000 / busiest_ms)


@dataclass(frozen=True, slots=True)
class NullClassifier:
    """A model without cost that scores every class 0."""

    contract: ModelContract
    provider: str = "none"

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return zeros (N, K + G)."""
        return np.zeros((len(mel_db), len(self.contract.labels) + len(self.contract.tags)), np.float32)


class NoiseSource:
    """A source of stereo noise that repeats ten blocks."""

    def __init__(self, name: str, seconds: float) -> None:
        self.info = SourceInfo(name, "noise", RATE_HZ, 2, supports_backpressure=True)
        self.start_unix_ns = time.time_ns()
        self._seconds = seconds
        self._stopped = False
        noise = np.random.default_rng(0).normal(0, 0.1, (10, 2, BLOCK_SAMPLES)).astype(np.float32)
        self._blocks = [read_only(block) for block in noise]

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of 100 ms without waiting."""
        for number in range(round(10 * self._seconds)):
            if self._stopped:
                return
            yield Block(self._blocks[number % len(self._blocks)], RATE_HZ, number * BLOCK_SAMPLES)

    def stop(self) -> None:
        """End `blocks`."""
        self._stopped = True


class NullSink:
    """A sink that discards every line."""

    name = "null"

    def write(self, line: bytes) -> None:
        """Discard a line."""

    def close(self) -> None:
        """Do nothing."""


def error_logger() -> Logger:
    """Return a logger that writes errors only."""
    return StructuredLogger("error", StderrOutput(pretty=True, colored=False))


def benchmark_context(classifier: Classifier) -> EngineContext:
    """Build an engine context that discards the lines."""
    rules = build_rules(DetectionConfig(), classifier.contract)
    in_force = thresholds_in_force(rules, classifier.contract.labels)
    return EngineContext("bench", classifier, rules, in_force, WallClock(), DirectWriter([NullSink()], error_logger()))


def _path_ms(contract: ModelContract) -> float:
    """Measure the processor time for one second of one stream without the model."""
    started_ns = time.process_time_ns()
    Engine(benchmark_context(NullClassifier(contract)), error_logger()).run(
        [SourceSession(NoiseSource("noise", PATH_S))]
    )
    return (time.process_time_ns() - started_ns) / 1e6 / PATH_S


def meter_ms(*, bands: bool) -> float:
    """Measure the processor time of the sound level meter for one second of one stream."""
    state, started_ns = MeterState(), time.process_time_ns()
    for block in NoiseSource("noise", METER_S).blocks():
        state, _ = measure(state, block, bands=bands)
    return (time.process_time_ns() - started_ns) / 1e6 / METER_S


def window_ms(classifier: Classifier, batch_windows: int) -> float:
    """Measure the cost of one window in a batch: processor time for the CPU, elapsed time for other devices."""
    shape = (batch_windows, *classifier.contract.features.input_shape)
    mel_db = np.random.default_rng(0).normal(-40, 15, shape).astype(np.float32)
    now_ns = time.process_time_ns if classifier.provider.startswith("CPU") else time.perf_counter_ns
    classifier.classify(mel_db)
    started_ns = now_ns()
    rounds = -(-32 // batch_windows)
    for _ in range(rounds):
        classifier.classify(mel_db)
    return (now_ns() - started_ns) / 1e6 / rounds / batch_windows
