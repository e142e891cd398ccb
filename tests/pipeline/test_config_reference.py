"""The page that users read must say what the code accepts."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "config.md"


def test_config_page_is_what_the_code_says():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "run: python -m pipeline.config.reference > docs/config.md"
    )


def test_every_key_is_explained():
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    for row in rows:
        *_, meaning, end = row.split(" |")
        assert meaning.strip(), row
        assert end == ""
