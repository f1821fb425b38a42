"""Processor time of int8 versions of a network, compared with the network in float32.

Run `python benchmarks/int8.py`; it takes a minute and writes results/int8.json.

Conventions: processor milliseconds a window, one thread. In each round all variants run in turn; ratios are taken
within a round. The ranges of the maps come from noise, which changes scores and no time. `soundwatch export --int8`
measures accuracy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from harness import (
    Results,
    Table,
    figure,
    machine_of,
    model_option,
    provenance,
    restart_with_one_thread,
    table,
    with_range,
    write_results,
)

from soundwatch.daemon.diagnostics.benchmark import window_ms
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.export.band_means import pool_over_bands
from soundwatch.export.formats import with_metadata
from soundwatch.export.int8.equalize import equalize
from soundwatch.export.int8.quantization import quantize, quantize_network

ROUNDS: Final = 15
WINDOWS: Final = 16


def pooled(original: Any, _mel_db: Any) -> Any:
    """Return the float32 network with its means over bands as average pools."""
    pool_over_bands(original)
    return original


def quantized(keep: Callable[[int, Any], bool], **options: Any) -> Callable[[Any, Any], Any]:
    """Return a function that quantizes the convolutions for which `keep` holds, by their place and node."""

    def convert(original: Any, mel_db: Any) -> Any:
        pool_over_bands(original)
        equalize(original)
        graph = original.graph
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        kept = {node.output[0] for place, node in enumerate(convolutions) if keep(place, node)}
        names = [node.name for node in graph.node if kept & {*node.output, *node.input} and node.op_type in OPERATORS]
        return quantize(original, mel_db, names, **options)

    return convert


def as_exported(original: Any, mel_db: Any) -> Any:
    """Return the int8 network as `soundwatch export --int8` writes it."""
    return quantize_network(original, mel_db)


def is_pointwise(place: int, node: Any) -> bool:
    """Return whether a convolution other than the first sums over all channels of one position."""
    kernel = next(list(item.ints) for item in node.attribute if item.name == "kernel_shape")
    return place > 0 and kernel == [1, 1]


def with_unsigned_weights(original: Any, mel_db: Any) -> Any:
    """Return an int8 network with unsigned weights."""
    from onnxruntime.quantization import QuantType

    return quantized(lambda place, _node: place > 0, weight_type=QuantType.QUInt8)(original, mel_db)


OPERATORS: Final = ("Conv", "Relu")
VARIANTS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "float32, means over bands as average pools": pooled,
    "int8, as exported: all convolutions but the first, weights of 7 bits": as_exported,
    "int8, weights of 8 bits": quantized(lambda place, _node: place > 0, reduce_range=False),
    "int8, all convolutions": quantized(lambda _place, _node: True),
    "int8, pointwise convolutions": quantized(is_pointwise),
    "int8, unsigned weights": with_unsigned_weights,
}


def measure(model: str) -> list[dict[str, Any]]:
    """Measure all variants in turn."""
    exact = load_classifier_file(model, "cpu")
    mel_db = np.random.default_rng(0).normal(-40, 15, (WINDOWS, *exact.contract.features.input_shape))
    networks: dict[str, Any] = {"float32, the file": exact}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        for name, convert in VARIANTS.items():
            network = convert(onnx.load(exact.path), mel_db.astype(np.float32))
            file.write_bytes(with_metadata(network, exact.contract))
            networks[name] = load_classifier_file(file, "cpu")
    rounds = [{name: window_ms(network, 1) for name, network in networks.items()} for _ in range(ROUNDS + 1)][1:]
    return [
        {
            "name": name,
            "window_ms": figure([spent[name] for spent in rounds]),
            "ratio": figure([spent[name] / spent["float32, the file"] for spent in rounds]),
        }
        for name in networks
    ]


def main() -> None:
    """Measure and write the results."""
    model = model_option(__doc__)
    restart_with_one_thread()
    identity = load_classifier_file(model, "cpu").contract.identity
    results = {
        **provenance("python benchmarks/int8.py"),
        "model": identity,
        "vnni": "avx512_vnni" in Path("/proc/cpuinfo").read_text("utf-8"),
        "variants": measure(model),
    }
    write_results("int8", results, TABLES["int8"])


def variants_table(results: Results) -> Table:
    """Return a row for each variant."""
    rows = [
        (variant["name"], with_range(variant["window_ms"], 2), with_range(variant["ratio"], 2))
        for variant in results["variants"]
    ]
    note = f"The processor has {'' if results['vnni'] else 'no '}AVX512-VNNI. {machine_of(results)}"
    return table(("network", "a window, ms", "times the file"), rows, note)


TABLES: Final = {"int8": {"int8": variants_table}}


if __name__ == "__main__":
    main()
