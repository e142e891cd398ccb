"""Train the encoders that `benchmarks.encoder` scores: one for each fold of objects held out, with and without labels.

    python -m benchmarks.train_encoders [--kinds labels self] [--folds 0 1 2 3 4]

About 25 minutes each on two cores. Weights go to benchmarks/encoders, which git ignores; what is there is not trained again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.contestants import FOLDER
from benchmarks.galaxies import FOLDS, SHARED, SIZE

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "training"


def configs(kind: str, fold: int, scratch: Path) -> list[Path]:
    """The configs of examples/training with this fold held out; without the labels for the kind `self`."""
    written = []
    for name in ("efigi", "gz1"):
        text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
        text = text.replace(f"../../{name}/catalogs", f"{scratch}/{name}/catalogs")
        text = text.replace("fold = 0 ", f"fold = {fold} ")
        if kind == "self":
            text = text.partition("[train.labels]")[0].partition("[[train.labels")[0]
        path = scratch / f"{name}-{kind}-{fold}.toml"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="*", default=["labels", "self"], choices=["labels", "self"])
    parser.add_argument("--folds", nargs="*", type=int, default=list(range(FOLDS)))
    options = parser.parse_args()
    scratch = FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    command = str(Path(sys.executable).with_name("tuningfork"))
    for name, fit in (("efigi", "pad"), ("gz1", "galaxy")):
        if not (scratch / name).exists():
            table = str(SHARED / name / "labels.csv")
            pack = ["pack", table, str(scratch / name), "--shards", "8", "--size", str(SIZE), "--fit", fit]
            subprocess.run([command, *pack], check=True)
    for kind in options.kinds:
        for fold in options.folds:
            weights = FOLDER / f"{kind}-{fold}.safetensors"
            if weights.exists():
                continue
            out = FOLDER / f"{kind}-{fold}"
            paths = [str(path) for path in configs(kind, fold, scratch)]
            subprocess.run([command, "train", "encoder", *paths, "--out", str(out)], check=True)
            (out / "encoder.safetensors").replace(weights)


if __name__ == "__main__":
    main()
