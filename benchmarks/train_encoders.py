"""Train the encoders that `benchmarks.encoder` scores: one for each fold of objects held out, and each kind of teaching.

    python -m benchmarks.train_encoders [--kinds labels taught self] [--folds 0 1 2 3 4]

`labels`: as examples/training says, with labels and a teacher from ImageNet; `taught`: without the labels; `self`: without
either. About half an hour each on one core. Weights go to benchmarks/encoders, which git ignores; what is there is not trained again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import teachers
from benchmarks.contestants import FOLDER
from benchmarks.galaxies import FOLDS, SHARED, SIZE

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "training"
KINDS = ("labels", "taught", "self")


def configs(kind: str, fold: int, scratch: Path, threads: int) -> list[Path]:
    """The configs of examples/training with this fold held out, and without what the kind leaves out."""
    written = []
    for name in ("efigi", "gz1"):
        text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
        text = text.replace(f"../../{name}/catalogs", f"{scratch}/{name}/catalogs")
        text = text.replace("fold = 0 ", f"threads = {threads}\nfold = {fold} ")
        text = text.replace("../../teacher.safetensors", str(scratch / "teacher.safetensors"))
        if kind != "labels":
            text = text.partition("[train.labels]")[0].partition("[[train.labels")[0]
        if kind == "self":
            text = text.partition("[train.teacher]")[0]
        path = scratch / f"{name}-{kind}-{fold}.toml"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--folds", nargs="*", type=int, default=list(range(FOLDS)))
    help_ = "of one training; on two cores two trainings side by side, of one thread each, are the fastest"
    parser.add_argument("--threads", type=int, default=2, help=help_)
    options = parser.parse_args()
    scratch = FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    command = str(Path(sys.executable).with_name("tuningfork"))
    for name, fit in (("efigi", "pad"), ("gz1", "galaxy")):
        if not (scratch / name).exists():
            table = str(SHARED / name / "labels.csv")
            pack = ["pack", table, str(scratch / name), "--shards", "8", "--size", str(SIZE), "--fit", fit]
            subprocess.run([command, *pack], check=True)
    if not (scratch / "teacher.safetensors").exists():
        teachers.write(scratch / "teacher.safetensors")
    for kind in options.kinds:
        for fold in options.folds:
            weights = FOLDER / f"{kind}-{fold}.safetensors"
            if weights.exists():
                continue
            out = FOLDER / f"{kind}-{fold}"
            paths = [str(path) for path in configs(kind, fold, scratch, options.threads)]
            subprocess.run([command, "train", "encoder", *paths, "--out", str(out)], check=True)
            (out / "encoder.safetensors").replace(weights)


if __name__ == "__main__":
    main()
