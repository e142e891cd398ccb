"""Decision trees by name: one that comes with the package, or a TOML file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from catalogs import storage
from kernels.tree_text import bundled, bundled_names, parse
from kernels.trees import Tree, TreeError

if TYPE_CHECKING:
    from pipeline.config.training import Labels

__all__ = ["tree_of", "with_tree_files"]


@cache
def tree_of(name: str) -> Tree:
    """The tree of this name or file.

    Raises
    ------
    kernels.trees.TreeError
        If there is none, or if it is not sound.
    """
    if name in bundled_names():
        return bundled(name)
    if not name.endswith(".toml"):
        raise TreeError(
            f"no decision tree {name!r} comes with the package (there are: {', '.join(bundled_names())}); or give a .toml file"
        )
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TreeError(f"{name}: cannot be read ({error})") from error
    return parse(text, name)


def with_tree_files(labels: Labels, folder: str) -> Labels:
    """The labels with the paths of their trees' files made absolute."""
    trees = [
        each.model_copy(update={"tree": storage.absolute(each.tree, folder)})
        if each.tree.endswith(".toml")
        else each
        for each in labels.trees
    ]
    return labels.model_copy(update={"trees": trees})
