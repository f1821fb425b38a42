"""Feeds each reader of outside input with what atheris makes up, and keeps what crashes, hangs or takes memory.

Usage: python scripts/fuzz.py [--minutes 10] [READER...]

Conventions: readers are those of tests/support/fuzz_targets.py, each in its own process for its share of the
time; an input may take a second and 2 GB. What is found goes to tests/corpus/READER/, and the exit code is then 1.
Source: atheris, Google's coverage-guided fuzzer, which `make fuzz` installs; it has wheels for Linux and some Pythons.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CORPUS: Final = ROOT / "tests" / "corpus"
MOST_MB: Final = 2048
LONGEST_S: Final = 1


def fuzz_one(name: str, folder: Path, seconds: int) -> None:
    """Fuzz a reader in this process; findings are in the folder afterwards."""
    import atheris

    sys.path.insert(0, str(ROOT / "tests"))
    with atheris.instrument_imports(include=["soundwatch.daemon", "soundwatch.training", "yaml"]):
        readers = importlib.import_module("support.fuzz_targets")

    (folder / "corpus").mkdir()
    (folder / "corpus" / "seed").write_bytes(readers.seed(name, folder))
    for number, path in enumerate((CORPUS / name).glob("*.bin")):
        (folder / "corpus" / str(number)).write_bytes(path.read_bytes())
    limits = (f"-max_total_time={seconds}", f"-timeout={LONGEST_S}", f"-rss_limit_mb={MOST_MB}", "-max_len=65536")
    found = f"-artifact_prefix={folder}/found-"

    def take(data: bytes) -> None:
        try:
            readers.read(name, data, folder)
        except BaseException:
            (folder / "found-crash").write_bytes(data)
            raise

    atheris.Setup([sys.argv[0], *limits, found, "-verbosity=0", str(folder / "corpus")], take)
    atheris.Fuzz()


def kept(name: str, folder: Path) -> list[Path]:
    """Copy findings to the corpus under new names."""
    paths = []
    for found in folder.glob("found-*"):
        data = found.read_bytes()
        path = CORPUS / name / f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    return paths


def main() -> int:
    """Fuzz the readers one after another."""
    sys.path.insert(0, str(ROOT / "tests"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--one", nargs=3, metavar=("READER", "FOLDER", "SECONDS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        fuzz_one(asked.one[0], Path(asked.one[1]), int(asked.one[2]))
        return 0
    readers = importlib.import_module("support.fuzz_targets")
    names = asked.readers or list(readers.READERS)
    seconds = max(1, round(60 * asked.minutes / len(names)))
    found: list[Path] = []
    for name in names:
        print(f"{name}, {seconds} s", flush=True)
        with tempfile.TemporaryDirectory(prefix="soundwatch-") as folder:
            command = [sys.executable, __file__, "--one", name, folder, str(seconds)]
            texts = subprocess.run(command, capture_output=True, text=True, check=False)
            new = kept(name, Path(folder))
        if texts.returncode:
            print(texts.stdout[-2000:], texts.stderr[-4000:], f"found: {new}", sep="\n")
            found += new or [Path(name)]
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
