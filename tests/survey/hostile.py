"""A release whose ids and words would run code in a page that does not escape them."""

from __future__ import annotations

from tests.conftest import TinyRelease

HOSTILE = "<script>window.hacked=1</script>"
WORSE = '"></script ><img src=x onerror=window.hacked=2>'


def hostile_release(folder):
    """Objects with tags for ids and words; one column says what they are, two stand for measured ones."""
    tiny = TinyRelease(folder, bands=("g", "r", "i"))
    count = len(tiny.table)
    ids = [f"{i:02d}" for i in range(count)]
    ids[0], ids[1], ids[2] = HOSTILE, WORSE, "'\"&amp;`${window.hacked=3}"
    tiny.table["NUMBER"] = ids
    tiny.table["KIND"] = ["SPH" if k % 5 < 2 else "LTD" for k in range(count)]
    tiny.table["WORD"] = [WORSE if k % 2 else "plain" for k in range(count)]
    tiny.table["A"] = [0.1 * (k % 5) + 0.001 * k for k in range(count)]
    tiny.table["C"] = [4.0 - 0.4 * (k % 5) + 0.002 * (k % 7) for k in range(count)]
    tiny.write()
    return tiny


def config_of(tiny):
    values = tiny.config(
        classes={"by": "column", "column": "KIND", "held_out": 0.5},
        validate={"columns": {"asymmetry": "A", "concentration": "C"}},
        fit={"groups": 4, "bags": 2, "families": ["kmeans", "ward"]},
        run={"slice_rows": 32},
        measure={"quantities": []},
    )
    values["survey"]["keep"] = ["MAG", "KIND", "WORD", "A", "C"]
    return values
