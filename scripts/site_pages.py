"""Hook of `mkdocs.yml` that converts pages written for Git hosting.

The navigation is made of the tables in docs/index.md: a heading is a section, a row is a page. A row that leads to a
folder's README.md brings all pages of that folder.
What pages link to outside docs/ (README.md, config.yaml, source files) is brought in below `repository/`, so that no
link needs the internet. The page docs/browser gets its runtime and model from where `scripts/browser-files` puts them.

Conventions: a place is a path from the repository's root, with `/`. A source file or a folder becomes a page
that shows it.
Does not: change what is in docs/.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LOG: Final = logging.getLogger("mkdocs.hooks.site_pages")
ROOT: Final = Path(__file__).resolve().parents[1]
BROUGHT_IN: Final = "repository"
RUNTIME: Final = ".venv/node/node_modules/onnxruntime-web/dist"
BROWSER_FILES: Final = {
    "browser/runtime/ort.wasm.min.mjs": f"{RUNTIME}/ort.wasm.min.mjs",
    "browser/runtime/ort-wasm-simd-threaded.mjs": f"{RUNTIME}/ort-wasm-simd-threaded.mjs",
    "browser/runtime/ort-wasm-simd-threaded.wasm": f"{RUNTIME}/ort-wasm-simd-threaded.wasm",
    "browser/model/waveform.onnx": ".venv/browser/urban-waveform-16000.onnx",
    "browser/model/waveform.json": ".venv/browser/urban-waveform-16000.json",
}
LANGUAGES: Final = {".py": "python", ".yaml": "yaml", ".toml": "toml", "": "text"}

_FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)
_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)#\s]+)")
_ROW = re.compile(r"^\| \[[^\]]*\]\(([^)#]+)\)", re.M)
_MARKER = re.compile(r"^<!-- .* -->\n", re.M)
_LIST_IN_PARAGRAPH = re.compile(r"^((?![-#>| ]|\d+\. ).+\n)(?=- )", re.M)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the navigation from docs/index.md."""
    docs = Path(config.docs_dir)
    config.nav = [{"Home": "index.md"}, *navigation((docs / "index.md").read_text(encoding="utf-8"), docs)]
    return config


def navigation(index: str, docs: Path) -> list[dict[str, Any]]:
    """Return a section for each heading of the index, with the pages of the rows under it."""
    parts = re.split(r"^## (.*)$", index, flags=re.M)
    return [
        {title: [_entry(target, docs) for target in _ROW.findall(rows)]}
        for title, rows in zip(parts[1::2], parts[2::2], strict=True)
        if _ROW.search(rows)
    ]


def _entry(target: str, docs: Path) -> str | dict[str, list[str]]:
    """Return a page, or a folder's index and its other pages."""
    place = posixpath.normpath(posixpath.join("docs", target))
    if not place.startswith("docs/") or not place.endswith("/README.md"):
        return page_of(place)
    title = re.search(r"^# (.*)", (ROOT / place).read_text(encoding="utf-8"))
    assert title is not None, f"{place} has no heading"
    others = sorted(path for path in (ROOT / place).parent.glob("*.md") if path.name != "README.md")
    return {title[1]: [page_of(place), *(path.relative_to(docs).as_posix() for path in others)]}


def page_of(place: str) -> str:
    """Return the site's path of a page."""
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    if (ROOT / place).is_dir():
        return f"{BROUGHT_IN}/{place}/README.md"
    return f"{BROUGHT_IN}/{place}" if place.endswith(".md") else f"{BROUGHT_IN}/{place}.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add linked pages outside docs/, the pages that those link to, and the files of the page docs/browser."""
    for place, source in BROWSER_FILES.items():
        if (ROOT / source).is_file():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
        else:
            LOG.info("%s is not there, so the page browser/index.html does not run: make docs", source)
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        place = waiting.pop()
        if not place.startswith("docs/"):
            content = shown(place)
            files.append(File.generated(config, page_of(place), content=content))
        for target in linked(place):
            inside = target.startswith("docs/") or not (ROOT / target).exists()
            if target not in seen and not inside:
                seen.add(target)
                waiting.append(target)
    return files


def linked(place: str) -> Iterator[str]:
    """List the places that a page links to."""
    if place.endswith(".md"):
        for _, target in _LINK.findall((ROOT / place).read_text(encoding="utf-8")):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(place), target))


def shown(place: str) -> str:
    """Return a page that shows a file or a folder's files; a Markdown file is one already."""
    path = ROOT / place
    if place.endswith(".md"):
        return path.read_text(encoding="utf-8")
    paths = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    texts = [f"`{item.name}`\n\n{_fence(item)}" if path.is_dir() else _fence(item) for item in paths]
    return f"---\nsearch: {{exclude: true}}\n---\n# {path.name}\n\n`{place}`\n\n" + "\n\n".join(texts) + "\n"


def _fence(path: Path) -> str:
    text = path.read_text(encoding="utf-8").rstrip("\n")
    return f"````{LANGUAGES.get(path.suffix, 'text')}\n{text}\n````"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where the site has their targets, and write Git hosting's Markdown as mkdocs reads it."""
    del config, files
    here = page.file.src_uri
    place = here.removeprefix(f"{BROUGHT_IN}/") if here.startswith(f"{BROUGHT_IN}/") else f"docs/{here}"

    def changed(text: str) -> str:
        text = _LIST_IN_PARAGRAPH.sub(r"\1\n", _MARKER.sub("\n", text))
        return _LINK.sub(lambda found: _led(found, place, here), text)

    return outside_fences(markdown, changed)


def outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """Return the text, changed everywhere but in fenced blocks."""
    parts = _FENCED.split(markdown)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


def _led(found: re.Match[str], place: str, here: str) -> str:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(place), found[2]))
    return found[1] + posixpath.relpath(page_of(target), posixpath.dirname(here) or ".")
