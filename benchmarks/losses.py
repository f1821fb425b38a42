"""Delivery of ten thousand events while broker, program and disk fail repeatedly.

Run `python benchmarks/losses.py` (some minutes; needs mosquitto and, for a disk that can be filled, root); it writes
results/losses.json. What is done and counted: tests/support/delivery_loss.py.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from harness import Results, Table, option_parser, provenance, table, write_results

ROOT: Final = Path(__file__).resolve().parents[1]
DISK_BYTES: Final = 16_000_000
STEPS: Final = 20

sys.path.insert(0, str(ROOT / "tests"))
from support.delivery_loss import Trial, as_dict, small_disk  # noqa: E402 -- the tests' own


def harms(trial: Trial) -> list[tuple[str, Callable[[], object]]]:
    """List the losses in their order, each after a twentieth of the lines."""

    def restart() -> None:
        trial.kill_daemon()
        trial.start_daemon()

    kill_broker, start_broker = ("broker killed", trial.kill_broker), ("broker started", trial.start_broker)
    restarted = ("program killed and started", restart)
    full, free = ("disk filled", trial.disk.fill), ("disk freed", trial.disk.free)
    return [
        *(restarted, kill_broker, start_broker, restarted),
        *(kill_broker, restarted, start_broker),
        *(full, restarted, kill_broker, start_broker, restarted, free),
        *(full, kill_broker, restarted, start_broker, free),
        restarted,
    ]


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    events = parser.parse_args().events
    began_s = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="soundwatch-"))
    with small_disk(folder / "disk", DISK_BYTES) as disk, closing(Trial(folder, disk)) as trial:
        trial.start_daemon()
        done = []
        for step, (name, harm) in enumerate(harms(trial), 1):
            trial.wait_for_lines(2 * events * step // STEPS)
            done.append({"after_lines": trial.lines(), "what": name})
            print(done[-1], flush=True)
            harm()
        trial.wait_for_lines(2 * events + 100)
        account = trial.finish()
    shutil.rmtree(folder)
    print(account)
    results = {
        **provenance("python benchmarks/losses.py"),
        "disk_bytes": DISK_BYTES,
        "took_s": round(time.monotonic() - began_s),
        "done": done,
        "account": as_dict(account),
    }
    write_results("losses", results, TABLES["losses"])


def losses_table(results: Results) -> Table:
    """Return the faults that were injected and the fate of the lines."""
    account = results["account"]
    done = Counter(fault["what"] for fault in results["done"])
    rows = (
        ("events", f"{account['events']:,}"),
        ("lines numbered by the journal", f"{account['lines']:,}"),
        ("program killed (`kill -9`)", f"{done['program killed and started']} times"),
        ("broker killed (`kill -9`)", f"{done['broker killed']} times"),
        ("the journal's disk filled", f"{done['disk filled']} times"),
        ("old lines that the journal dropped for want of room", f"{account['journal_dropped']:,}"),
        ("**lost** on the way to the file", f"**{account['file_lost']}**"),
        ("**lost** on the way to the broker", f"**{account['broker_lost']}**"),
        ("came again, marked", f"{account['repeated']:,}"),
        ("came again, not marked", f"**{account['unmarked']}**"),
        ("broken lines in the file", f"{account['broken']}"),
    )
    machine = results["machine"]
    note = f"`{results['command']}`, {results['date']}, {machine['processor']}, {machine['system']}."
    return table(("what", "figure"), rows, note)


TABLES: Final = {
    "losses": {
        "losses": losses_table,
    },
}


if __name__ == "__main__":
    main()
