"""The tree is as docs/architecture.md says, pages link to what is there, and old names are gone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOP = {"__init__.py", "flow.py", "console.py", "conditions.py", "py.typed"}
GONE = (
    *(
        "course",
        "course_diffusion",
        "trainwork",
        "lesson",
        "wishes",
        "likes",
        "augmentwork",
        "painter",
        "telescope",
    ),
    *("slicework", "electorate", "outlines", "headwatch", "raytemp", "lockfile"),
)
"""Names of modules and of what was in them that only their author could guess."""


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_nowhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_architecture_names_files_that_are_not_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:pipeline|actors|kernels|catalogs|tests|benchmarks)/[\w./]+)`", text)
    assert len(named) > 40
    for name in named:
        assert (ROOT / name).exists(), name


def test_a_file_stands_between_the_rooms():
    top = {path.name for path in (ROOT / "pipeline").iterdir() if path.is_file()}
    assert top <= TOP
    for room in (path for path in (ROOT / "pipeline").iterdir() if (path / "__init__.py").exists()):
        assert (room / "__init__.py").read_text(encoding="utf-8").startswith('"""'), room.name


def test_an_old_name_is_left():
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if files.returncode:
        pytest.skip("this is no git checkout")
    pattern = re.compile(r"\b(" + "|".join(GONE) + r")\b")
    for name in files.stdout.split("\n"):
        path = ROOT / name
        if (
            path.suffix not in {".py", ".toml", ".yaml", ".sql"}
            or path == Path(__file__)
            or not path.exists()
        ):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = pattern.search(line.replace("of course", ""))
            assert found is None, f"{name}:{number}: {line}"
