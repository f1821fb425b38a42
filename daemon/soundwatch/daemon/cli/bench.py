"""`soundwatch bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from soundwatch.daemon.cli.options import OutputPath, check_overwrite, overwrite_option, write_output
from soundwatch.daemon.core.model.contract import INT8_SUFFIX

if TYPE_CHECKING:
    from soundwatch.daemon.diagnostics.benchmark import BenchmarkResult


@click.command()
@click.option("--model", default="urban", show_default=True, help="urban, urban-int8, tutorial or a file.")
@click.option(
    "--provider",
    "providers",
    multiple=True,
    help="cpu, cuda or any provider of ONNX Runtime. May be repeated. [default: cpu and the candidates of auto]",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--plot", type=OutputPath(), help="Draw the table as a PNG (needs matplotlib).")
@overwrite_option
def bench(model: str, providers: tuple[str, ...], as_json: bool, plot: Path | None, overwrite: bool) -> None:
    """Measure how many streams this machine can carry. Takes some seconds; the machine should be idle."""
    from soundwatch.daemon.diagnostics.benchmark import run_benchmark

    if plot is not None:
        check_overwrite(plot, overwrite)
    result = run_benchmark(model, providers, lambda part: click.echo(part, err=True))
    click.echo(msgspec.json.encode(result) if as_json else benchmark_table(result))
    if plot is not None:
        benchmark_chart(result, plot)


def benchmark_table(result: BenchmarkResult) -> str:
    """Format the result as a table."""
    lines = [
        f"{result.model} on {result.machine}, {result.cores} cores, a window every {result.hop_s} s",
        f"all stages but the model: {result.path_ms:.2f} ms for one second of a stream",
        f"sound level meter, if on: {result.level_ms:.2f} ms more, with 1/3-octave bands {result.bands_ms:.2f} ms",
        "",
        f"{'provider':<28}{'batch':>9}{'ms a window':>13}{'range':>17}{'streams':>9}",
    ]
    for cost in result.networks:
        spread = f"{cost.window_ms_least:.2f} to {cost.window_ms_most:.2f}"
        lines.append(f"{cost.provider:<28}{cost.batch_windows:>9}{cost.window_ms:>13.2f}{spread:>17}{cost.streams:>9}")
    if result.int8 is not None:
        option = f"--model {result.model.split('@')[0]}{INT8_SUFFIX}"
        ratio = result.int8.window_ms / result.networks[0].window_ms
        lines += [
            "",
            f"{option}, in 8-bit integers: {ratio:.2f} times the time of a window, {result.int8.streams} streams",
        ]
    return "\n".join(lines)


def benchmark_chart(result: BenchmarkResult, path: Path) -> None:
    """Draw the streams over the batch size, one line for each provider.

    Raises:
        SinkError: The picture cannot be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for provider in dict.fromkeys(cost.provider for cost in result.networks):
        costs = [cost for cost in result.networks if cost.provider == provider]
        axes.plot([cost.batch_windows for cost in costs], [cost.streams for cost in costs], "o-", label=provider)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({cost.batch_windows for cost in result.networks}))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("windows in a batch")
    axes.set_ylabel("streams")
    axes.set_title(f"{result.model}, {result.cores} cores", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    try:
        write_output(path, lambda part: figure.savefig(part, dpi=110, format="png"), "--plot")
    finally:
        plt.close(figure)
