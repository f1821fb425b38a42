"""`soundwatch bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from soundwatch.daemon.diagnostics.benchmark import BenchmarkResult


@click.command()
@click.option("--model", default="urban", show_default=True, help="urban, tutorial or a file.")
@click.option(
    "--provider",
    "providers",
    multiple=True,
    help="cpu, cuda or any provider that ONNX Runtime has. May be repeated. [default: cpu, and what auto may take]",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object for programs.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the table as a PNG (needs matplotlib).")
def bench(model: str, providers: tuple[str, ...], as_json: bool, plot: Path | None) -> None:
    """Measure how many streams this machine can carry; takes some seconds, and wants the machine to be idle."""
    from soundwatch.daemon.diagnostics.benchmark import run_benchmark as measure

    measured = measure(model, providers, lambda what: click.echo(f"measuring: {what}", err=True))
    click.echo(msgspec.json.encode(measured) if as_json else benchmark_table(measured))
    if plot is not None:
        benchmark_chart(measured, plot)


def benchmark_table(measured: BenchmarkResult) -> str:
    """The figures for people."""
    lines = [
        f"{measured.model} on {measured.machine}, {measured.cores} cores, a window every {measured.hop_s} s",
        f"everything but the network: {measured.path_ms:.2f} ms a second of one stream",
        "",
        f"{'network runs on':<28}{'together':>9}{'ms a window':>13}{'range':>17}{'streams':>9}",
    ]
    for each in measured.networks:
        spread = f"{each.window_ms_least:.2f} to {each.window_ms_most:.2f}"
        lines.append(f"{each.provider:<28}{each.batch_windows:>9}{each.window_ms:>13.2f}{spread:>17}{each.streams:>9}")
    return "\n".join(lines)


def benchmark_chart(measured: BenchmarkResult, path: Path) -> None:
    """Streams by how many windows are classified together, a line a provider."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for provider in dict.fromkeys(each.provider for each in measured.networks):
        own = [each for each in measured.networks if each.provider == provider]
        axes.plot([each.batch_windows for each in own], [each.streams for each in own], "o-", label=provider)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({each.batch_windows for each in measured.networks}))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("windows classified together")
    axes.set_ylabel("streams carried")
    axes.set_title(f"{measured.model}, {measured.cores} cores", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
