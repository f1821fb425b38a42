"""Make a Python environment with Home Assistant, for the tests and the picture that need a real one.

Run `python3.13 scripts/home_assistant_environment.py FOLDER`, with a Python that Home Assistant supports. It prints
the variable that those tests read.

Conventions: besides `homeassistant` the environment gets what the integrations in `NEEDED` and those that they depend
on require, in the releases of Home Assistant's own `package_constraints.txt`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

NEEDED: Final = ("mqtt", "frontend", "ai_task")  # ai_task: descriptions of actions refer to it
NOT_INSTALLED: Final = ("cloud",)


def main(folder: Path) -> None:
    """Make the environment in a new folder."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install(python, ["homeassistant"])
    package = next(folder.glob("lib/python3*/site-packages/homeassistant"))
    install(python, [*requirements(package), "--constraint", str(package / "package_constraints.txt")])
    print(f"HOME_ASSISTANT_PYTHON={python.absolute()}")


def install(python: Path, words: list[str]) -> None:
    """Run pip with these words."""
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words], check=True)


def requirements(package: Path) -> list[str]:
    """Return the requirements of the integrations, from their manifests."""
    found, waiting, seen = set[str](), list(NEEDED), set(NOT_INSTALLED)
    while waiting:
        integration = waiting.pop()
        description = package / "components" / integration / "manifest.json"
        if integration in seen or not description.exists():  # ai_task is of 2025.7
            continue
        seen.add(integration)
        manifest = json.loads(description.read_text())
        found.update(manifest.get("requirements", ()))
        waiting += manifest.get("dependencies", ())
    return sorted(found)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3.13 scripts/home_assistant_environment.py FOLDER")
    main(Path(sys.argv[1]))
