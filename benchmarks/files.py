"""Sound that is read of unusual recordings, and what is said of it, before one reader was written and now.

    python benchmarks/files.py --cases CASES

The cases are those of `file_cases.py`, and each folder of `--cases`. Both programs read every file: the reader of
`classify`, `replay`, `scan` and `run`, and that of `train`. `before` is the commit BEFORE of the repository's history,
in a working tree that is removed again. Then the commands of now get all cases: each must say what the reader found, in
the same words. Needs ffmpeg. Writes benchmarks/results/files.json.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from file_cases import cases
from harness import Results, Table, machine_of, option_parser, provenance, table, write_results

BEFORE: Final = "00759db4"
ROOT: Final = Path(__file__).resolve().parents[1]
SLACK_S: Final = 0.1  # encoders add a frame or two
PROBE: Final = """
import json, sys
from pathlib import Path
from soundwatch.daemon.capture import Recording
{imports}
for name in sys.argv[1:]:
    path, part = Path(name), {{"s": 0.0, "train_s": 0.0, "said": [], "train_said": []}}
    try:
        recording = Recording("file", path, "fast", 0{options})
        for block in recording.blocks():
            part["s"] += block.samples.shape[1] / block.rate_hz
        part["said"] += getattr(recording, "findings", dict)().values()
    except Exception as error:
        part["said"].append(str(error) or repr(error))
    try:
        {training}
    except Exception as error:
        part["train_said"].append(str(error) or repr(error))
    print(json.dumps(part))
"""
OLD_TRAINING: Final = """samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        part["train_s"] = len(samples) / rate_hz if np.isfinite(samples).all() else 0.0"""
NEW_TRAINING: Final = """for samples in resampled_blocks(path, SPEC, part["train_said"].append):
            part["train_s"] += samples.shape[1] / SPEC.rate_hz"""
OLD_PROBE: Final = PROBE.format(imports="import numpy as np, soundfile", options="", training=OLD_TRAINING)
NEW_PROBE: Final = PROBE.format(
    imports="from soundwatch.training.data.audio.read_audio import resampled_blocks\n"
    "from soundwatch.training.model.recipe_file import load_recipe\nSPEC = load_recipe('urban').features",
    options=", measure=True",
    training=NEW_TRAINING,
)


def probe(tree: Path, script: str, files: list[Path]) -> list[dict[str, Any]]:
    """Read all files with the program of a working tree."""
    packages = os.pathsep.join(str(tree / name) for name in ("daemon", "training", "export"))
    command = [sys.executable, "-c", script, *map(str, files)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": packages}
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def probe_before(files: list[Path]) -> list[dict[str, Any]]:
    """Read all files with the program of the commit before."""
    with TemporaryDirectory() as folder:
        tree = Path(folder, "before")
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, BEFORE], check=True, cwd=ROOT)
        try:
            return probe(tree, OLD_PROBE, files)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], check=True, cwd=ROOT)


def outputs(folder: Path, files: list[Path]) -> dict[str, str]:
    """Return what each command prints about all files."""
    program = Path(sys.executable).with_name("soundwatch")
    commands: dict[str, list[str | Path]] = {
        "classify": ["classify", *files],
        "replay": ["replay", *files],
        "scan": ["scan", *files, "--out", folder / "events.jsonl"],
    }
    texts = {}
    for name, command in commands.items():
        done = subprocess.run([program, *command], check=False, capture_output=True, text=True)
        if "Traceback" in done.stderr:
            sys.exit(f"{name} ended with a traceback: {done.stderr[-2000:]}")
        texts[name] = done.stderr + done.stdout
    return texts


def is_silent_loss(there_s: float, read_s: float, said: list[str]) -> bool:
    """Return True if sound was lost and nothing was said, or sound was read that is not there."""
    return abs(read_s - there_s) > SLACK_S and not said


def measure(folders: list[Path]) -> dict[str, Any]:
    """Read all cases with both programs, and ask the commands."""
    with TemporaryDirectory() as name:
        folder, known = Path(name), {file: there_s for file, _, there_s in cases()}
        for file, content, _ in cases():
            (folder / file).write_bytes(content)
        for source in folders:
            for path in sorted(source.iterdir()):
                if path.suffix != ".py":
                    shutil.copy(path, folder / path.name)
        files = sorted(path for path in folder.iterdir() if path.is_file())
        before, now = probe_before(files), probe(ROOT, NEW_PROBE, files)
        said = outputs(folder, files)
        rows = [
            {
                "file": path.name,
                "given": path.name not in known,
                "there_s": round(
                    known.get(path.name, max(part[key] for part in (old, new) for key in ("s", "train_s"))), 1
                ),
                "before": _shown(old, folder),
                "now": _shown(new, folder),
                "said_by": [name for name, text in said.items() if all(line in text for line in _long(new["said"]))],
            }
            for path, old, new in zip(files, before, now, strict=True)
        ]
    return {"before": BEFORE, "files": rows}


def _long(sentences: list[str]) -> list[str]:
    """Return the sentences about the file; the advice about very short recordings depends on the command."""
    return [line for line in sentences if "lasts less than" not in line]


def _shown(part: dict[str, Any], folder: Path) -> dict[str, Any]:
    said = {key: [line.replace(f"{folder}/", "") for line in part[key]] for key in ("said", "train_said")}
    return {"s": round(part["s"], 1), "train_s": round(part["train_s"], 1)} | said


def render(results: Results) -> Table:
    """Render the table of the documentation: the given cases, and the others that were silently wrong before."""
    rows, counts = [], dict.fromkeys(("before", "now"), 0)
    for row in results["files"]:
        losses = {
            when: is_silent_loss(row["there_s"], row[when]["s"], row[when]["said"])
            or is_silent_loss(row["there_s"], row[when]["train_s"], row[when]["train_said"])
            for when in counts
        }
        for when, lost in losses.items():
            counts[when] += lost
        if row["given"] or losses["before"]:
            old, new = row["before"], row["now"]
            rows.append([
                f"`{row['file']}`",
                f"{row['there_s']:.1f}",
                f"{_figure(old['s'], old['said'])} / {_figure(old['train_s'], old['train_said'])}",
                f"{new['s']:.1f}",
                _short((new["said"] or new["train_said"] or ["nothing"])[0]),
            ])  # fmt: skip
    total = len(results["files"])
    asked = [row for row in results["files"] if row["now"]["said"]]
    agree = sum(len(row["said_by"]) == 3 for row in asked)
    note = (
        f"Of {total} files, sound was lost or added without a word in {counts['before']} before (commit "
        f"{results['before']}) and in {counts['now']} now. Something is said of {len(asked)} files; `classify`, "
        f"`replay` and `scan` say it in the same words of {agree}. Shown are the files given and those with a silent "
        f"loss before. "
        f"{machine_of(results)}"
    )
    headings = ["file", "sound, s", "read before by `classify` / `train`, s", "read now, s", "said now"]
    return table(headings, rows, note)


def _figure(read_s: float, said: list[str]) -> str:
    return f"{read_s:.1f}{' (error)' if said else ''}"


def _short(sentence: str) -> str:
    """Return the first clause of a sentence, without the name of the file."""
    text = sentence.partition(": ")[2] if sentence.split(":")[0].count(".") else sentence
    return (text or sentence).split(". ")[0].replace("|", "/").rstrip(".")


TABLES: Final = {"files": {"file-cases": render}}


def main() -> None:
    """Measure and write."""
    parser = option_parser(__doc__)
    parser.add_argument("--cases", type=Path, action="append", default=[])
    options = parser.parse_args()
    results = provenance("python benchmarks/files.py --cases CASES") | measure(options.cases)
    write_results("files", results, TABLES["files"])


if __name__ == "__main__":
    main()
