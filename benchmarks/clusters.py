"""Speed of a training run in several processes, and cost of a window on an inference server.

Run `python benchmarks/clusters.py` on an idle machine; it takes some minutes and writes results/clusters.json. With
`--triton HOST:PORT --note TEXT` it also asks a Triton that serves the default model as `export --format triton` wrote
it; TEXT says what that server is.

Conventions: the training run is two epochs of the recipe `urban` on noises that are made up, one thread a process; an
epoch's time is the second's. The weights' difference is the largest of any weight from those of one process.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
from harness import Results, Table, figure, machine_of, option_parser, provenance, table, with_range, write_results

from soundwatch.daemon.inference.classifier import activate_classes, load_classifier_file
from soundwatch.daemon.inference.triton_client import RemoteClassifier, TritonServer
from soundwatch.training.model.checkpoint import FILE_NAME, read_checkpoint
from soundwatch.training.model.labels import LABELS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.urbansound8k_folder import write_metadata

CLIPS_A_CLASS: Final = 16
TIMES: Final = 200


def make_data(root: Path) -> None:
    """Two folds of noises, in UrbanSound8K's layout."""
    rows, rng = [], np.random.default_rng(0)
    for fold in (1, 2):
        folder = root / "audio" / f"fold{fold}"
        folder.mkdir(parents=True)
        for class_id, label in enumerate(LABELS):
            for number in range(CLIPS_A_CLASS):
                name = f"{fold}{class_id:02d}{number:02d}-{class_id}-0-0.wav"
                noise = rng.normal(0, 0.1, 4 * 16_000) * np.hanning(4 * 16_000) ** (class_id / 5)
                soundfile.write(folder / name, noise, 16_000)
                rows.append([name, name, 0, 4, 1, fold, class_id, label])
    write_metadata(root, rows)


def train(processes: int, data: Path, out: Path) -> float:
    """Seconds of the second epoch."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "soundwatch.training", "train"]
    options = ["--data", data, "--recipe", "urban", "--train-folds", "1,2", "--epochs", "2", "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(data.parent / "cache")}
    subprocess.run([*command, *map(str, options), "--out", str(out)], env=environment, check=True, capture_output=True)
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    return float(rows[-1]["seconds"])


def training() -> list[dict[str, Any]]:
    """Measure the run by one process and by two."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        make_data(data)
        results = []
        for processes in (1, 2):
            seconds = train(processes, data, Path(folder, str(processes)))
            alone, these = (read_checkpoint(Path(folder, name, FILE_NAME)).model for name in ("1", str(processes)))
            apart = max(float((alone[name].double() - these[name].double()).abs().max()) for name in alone)
            results.append({"processes": processes, "epoch_s": round(seconds, 2), "weights_apart": apart})
        return results


def window_ms(classify: Callable[[Any], Any], windows: Any) -> dict[str, float]:
    """Measure the time of a window in a batch."""
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        classify(windows)
        times.append((time.perf_counter() - began) * 1000 / len(windows))
    return figure(times)


def serving(address: str, note: str) -> dict[str, Any]:
    """Measure a window here and on a server."""
    local = load_classifier_file("urban", "cpu")
    contract = local.contract
    remote = RemoteClassifier(
        TritonServer(address, contract.name, contract), local, partial(activate_classes, contract=contract)
    )
    if remote.obstacle:
        sys.exit(f"No server at {address}: {remote.obstacle}")
    rng = np.random.default_rng(0)
    rows = []
    for count in (1, 16):
        windows = rng.uniform(-80, 0, (count, *contract.features.input_shape)).astype(np.float32)
        rows.append(
            {
                "windows_at_once": count,
                "here_ms": window_ms(local.classify, windows),
                "server_ms": window_ms(remote.classify, windows),
                "scores_apart": float(np.abs(local.classify(windows) - remote.classify(windows)).max()),
            }
        )
    return {"server": note, "rows": rows}


def main() -> None:
    """Measure all."""
    parser = option_parser(__doc__)
    parser.add_argument("--triton", help="HOST:PORT of a server")
    parser.add_argument("--note", default="a Triton server", help="what it is")
    options = parser.parse_args()
    results = {
        **provenance("python benchmarks/clusters.py" + (" --triton HOST:PORT --note TEXT" if options.triton else "")),
        "load_before": round(os.getloadavg()[0], 1),
        "model": load_classifier_file("urban", "cpu").contract.identity,
        "training": training(),
        "serving": serving(options.triton, options.note) if options.triton else None,
    }
    write_results("clusters", results, TABLES["clusters"])


def data_parallel_table(results: Results) -> Table:
    """Return a row for each number of processes: an epoch's time, and how far the weights are from one process's."""
    alone = results["training"][0]["epoch_s"]
    rows = [
        (
            str(row["processes"]),
            f"{row['epoch_s']:.1f}",
            f"{alone / row['epoch_s']:.2f}",
            f"{row['weights_apart']:.0e}" if row["weights_apart"] else "0",
        )
        for row in results["training"]
    ]
    headings = ("processes", "an epoch, s", "times as fast", "largest difference of a weight after two epochs")
    note = f"One thread a process. The machine's load just before was {results['load_before']}."
    return table(headings, rows, f"{note} {machine_of(results)}")


def serving_table(results: Results) -> Table:
    """Return a row for each batch: what a window takes here and on a server."""
    if not results["serving"]:
        return table((), (), "Not measured yet.")
    rows = [
        (
            str(row["windows_at_once"]),
            with_range(row["here_ms"], 2),
            with_range(row["server_ms"], 2),
            f"{row['scores_apart']:.0e}" if row["scores_apart"] else "0",
        )
        for row in results["serving"]["rows"]
    ]
    headings = ("windows at once", "a window here, ms", "a window on the server, ms", "largest difference of a score")
    note = f"Server: {results['serving']['server']}. The machine's load just before was {results['load_before']}."
    return table(headings, rows, f"{note} {machine_of(results)}")


TABLES: Final = {
    "clusters": {
        "data-parallel": data_parallel_table,
        "serving": serving_table,
    },
}


if __name__ == "__main__":
    main()
