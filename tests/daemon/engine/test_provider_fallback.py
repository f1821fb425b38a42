"""Lines of the engine after an accelerator fails or hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.classifier import LoadedModel, load_classifier_file
from soundwatch.daemon.inference.fallback import FallbackNetwork
from soundwatch.daemon.inference.opened_model import Logits
from soundwatch.daemon.inference.providers import CPU, CUDA
from support.band_model import write_band_model
from support.engine_harness import CollectingSink, MemorySource, engine_context, sound
from support.memory_logger import MemoryLogger

Array = NDArray[np.float32]
NOT_TAKEN = {"DmlExecutionProvider": "it takes 9 ms for a window"}


@dataclass(slots=True)
class Card:
    """A model on an accelerator that works once and then fails."""

    network: Logits
    fault: Literal["refuses", "hangs", "gives no number"]
    calls: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def __call__(self, mel_db: Array) -> Array:
        self.calls += 1
        if self.calls == 1:
            return self.network(mel_db)
        if self.fault == "refuses":
            raise RuntimeError("CUDA failure 719: unspecified launch failure")
        if self.fault == "hangs":
            self.released.wait()
        return np.full_like(self.network(mel_db), np.nan)


@pytest.fixture
def on_processor(tmp_path: Path) -> LoadedModel:
    model = load_classifier_file(write_band_model(tmp_path / "bands.onnx"), "cpu")
    assert isinstance(model, LoadedModel)
    return model


@pytest.fixture
def hung() -> Iterator[list[Card]]:
    cards: list[Card] = []
    yield cards
    for card in cards:
        card.released.set()


def running_on(model: LoadedModel, network: FallbackNetwork) -> LoadedModel:
    """Return a model whose first provider is a card."""
    opened = replace(model.opened, provider=CUDA, logits=network, unused_providers=NOT_TAKEN)
    return replace(model, opened=opened)


def listen(model: LoadedModel) -> tuple[CollectingSink, MemoryLogger]:
    context, sink = engine_context(model)
    log = MemoryLogger()
    Engine(context, log).run([SourceSession(MemorySource("mic0", sound(300, 2.0), waits=True))])
    return sink, log


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refuses", "CUDA failure 719"),
        ("hangs", "gave no result for 1.5 s"),
        ("gives no number", "not a finite number"),
    ],
)
def test_a_card_that_fails_in_mid_run_gives_a_health_line_and_no_event_is_lost(
    on_processor: LoadedModel, hung: list[Card], fault: Literal["refuses", "hangs", "gives no number"], reason: str
) -> None:
    card = Card(on_processor.opened.logits, fault)
    hung.append(card)
    network = FallbackNetwork(CUDA, card, CPU, on_processor.opened.logits, hung_s=1.5 if fault == "hangs" else 60.0)
    sink, log = listen(running_on(on_processor, network))
    [health] = [line for line in sink.of("health") if "provider" in line]
    assert (health["before"], health["provider"]) == (CUDA, CPU)
    assert reason in health["detail"]
    assert card.calls == 2, "it is never used again"
    [hello] = sink.of("hello")
    assert hello["unused_providers"] == NOT_TAKEN
    wanted, _ = listen(on_processor)
    for kind in ("start", "end"):
        assert [line["id"] for line in sink.of(kind)] == [line["id"] for line in wanted.of(kind)] != []
    assert "provider_changed" in log.events


def test_hello_has_no_reasons_where_no_accelerator_was_refused(on_processor: LoadedModel) -> None:
    sink, _ = listen(on_processor)
    assert "unused_providers" not in sink.of("hello")[0]


def test_the_next_hello_names_the_card_that_failed(on_processor: LoadedModel) -> None:
    logits = on_processor.opened.logits
    network = FallbackNetwork(CUDA, Card(logits, "refuses", calls=1), CPU, logits)
    model = running_on(on_processor, network)
    listen(model)
    sink, _ = listen(model)
    [hello] = sink.of("hello")
    assert hello["provider"] == CPU
    assert hello["unused_providers"].keys() == {CUDA, *NOT_TAKEN}
