from __future__ import annotations

import pytest

from soundwatch.daemon.core.errors import ProviderError
from soundwatch.daemon.inference import providers
from soundwatch.daemon.inference.providers import (
    CPU,
    CUDA,
    TENSORRT,
    CardOptions,
    candidate_accelerators,
    choose_provider,
    fastest_provider,
    provider_options,
)

CARD = CardOptions()
ALL = [TENSORRT, CUDA, "OpenVINOExecutionProvider", "CoreMLExecutionProvider", CPU]


@pytest.fixture
def every_library_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "cuda_unavailable_reason", lambda _: None)
    monkeypatch.setattr(providers, "_library_fault", lambda _: None)


def test_where_there_is_but_the_processor_nothing_is_to_be_measured() -> None:
    assert choose_provider("auto", [CPU], CARD) == "auto"
    assert candidate_accelerators([CPU], CARD) == {}


def test_a_card_without_its_driver_is_no_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "cuda_unavailable_reason", lambda _: "a test")
    assert candidate_accelerators([TENSORRT, CUDA, CPU], CARD) == {CUDA: "a test"}


@pytest.mark.usefixtures("every_library_loads")
def test_auto_is_left_to_a_measurement_where_there_is_an_accelerator() -> None:
    assert choose_provider("auto", ALL, CARD) == "auto"
    assert set(candidate_accelerators(ALL, CARD).values()) == {None}


@pytest.mark.usefixtures("every_library_loads")
def test_tensorrt_is_used_only_by_name() -> None:
    assert TENSORRT not in candidate_accelerators(ALL, CARD)
    assert choose_provider(TENSORRT, ALL, CARD) == TENSORRT


@pytest.mark.parametrize("name", ["OpenVINOExecutionProvider", "CoreMLExecutionProvider"])
def test_every_provider_of_this_build_can_be_named(name: str) -> None:
    assert choose_provider(name, ALL, CARD) == name


@pytest.mark.parametrize("name", [CUDA, TENSORRT])
def test_a_provider_with_a_missing_library_is_refused_with_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "cuda_unavailable_reason", lambda _: None)
    monkeypatch.setattr(providers, "_library_fault", lambda _: "its libraries do not load (libcudnn.so.9)")
    with pytest.raises(ProviderError, match=rf"{name} cannot be used: .*libcudnn.so.9.* choose provider auto or cpu"):
        choose_provider(name, ALL, CARD)


@pytest.mark.parametrize(
    ("window_ms", "taken"),
    [
        ({CPU: 2.0}, CPU),
        ({CPU: 2.0, CUDA: 1.1}, CPU),  # quicker, but not worth a driver's memory
        ({CPU: 2.0, CUDA: 1.0}, CUDA),
        ({CPU: 2.0, CUDA: 0.9, "OpenVINOExecutionProvider": 0.8}, "OpenVINOExecutionProvider"),
        ({CPU: 2.0, CUDA: 30.0}, CPU),
    ],
)
def test_an_accelerator_with_half_the_time_is_selected(window_ms: dict[str, float], taken: str) -> None:
    assert fastest_provider(window_ms) == taken


def test_cuda_has_limits_and_the_cpu_runs_the_other_nodes() -> None:
    first, rest = provider_options(CUDA, CardOptions(2, 1 << 28))
    assert isinstance(first, tuple)
    name, options = first
    assert (name, rest) == (CUDA, CPU)
    assert (options["gpu_mem_limit"], options["device_id"]) == (str(1 << 28), "2")
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert options["cudnn_conv_algo_search"] != "EXHAUSTIVE"
    assert [option if isinstance(option, str) else option[0] for option in provider_options(TENSORRT, CARD)] == [
        TENSORRT,
        CUDA,
        CPU,
    ]
    assert provider_options("OpenVINOExecutionProvider", CARD) == ["OpenVINOExecutionProvider", CPU]
    assert provider_options(CPU, CARD) == [CPU]
