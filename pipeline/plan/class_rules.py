"""From counts to classes: which columns the rules name, what is wrong with `[classes]`, and which group gets which name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from catalogs import where
from catalogs.errors import Fault, TuningforkError
from kernels.bags import hash_ids
from pipeline.config.classes import class_name

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.config.classes import Classes, Rule, Split
    from pipeline.rundir.group_labels import Label

UNCLASSIFIED = "UNC"
CLASS_FIELD = pa.field(
    "class",
    pa.string(),
    metadata={
        "ucd": "meta.code.class",
        "description": f"class of the object's group, or what [classes] split makes of it; {UNCLASSIFIED} if the object is not kept, "
        "null if the group has no name",
    },
)
SHARE_FIELD = pa.field(
    "class_share",
    pa.float32(),
    metadata={
        "ucd": "stat.fit.goodness",
        "description": "share of the object's votes that groups of its group's class have; null if the group has no name",
    },
)
FINISHED_FIELDS = (
    pa.field(
        "finished_class",
        pa.string(),
        metadata={
            "ucd": "meta.code.class",
            "description": "class by the vote, where it kept the object in a group with a name, else by a predictor that learned from those; "
            "null if the object has no embedding",
        },
    ),
    pa.field(
        "finished_probability",
        pa.float32(),
        metadata={
            "ucd": "stat.probability",
            "description": "probability of finished_class, where it is the predictor's; null where the vote decided",
        },
    ),
)
EVIDENCE = (
    "sersic_n",
    "gini",
    "m20",
    "concentration",
    "asymmetry",
    "smoothness",
    "sersic_r_e",
    "r50",
    "sn_pixel",
)
"""Measured columns whose medians are kept with every group, where a run has them."""
VOTED = {
    *("class", "class_share", "group", "kept", "agreement", "confidence", "branch", "branch_confidence"),
    *(
        "runner_up",
        "distance",
        "anomaly",
        "anomaly_distance",
        "reference_group",
        "finished_class",
        "finished_probability",
    ),
}
"""Columns of the catalog that come from the vote, beside those that start with `vote_`."""
NO_PARAMETERS = {"object_id", "ra", "dec", "shard", "row", "flags", "measure_flags"}
"""Columns of the catalog whose medians say nothing of a group's shape."""
MOST_LABELS = 100_000
"""Labels times groups up to which they are counted."""
_HELD_OUT = 0x5EED_C1A5


class BadLabels(TuningforkError):
    """The column of labels does not hold labels."""


def parameters(schema: pa.Schema) -> list[str]:
    """Columns that have a median which rules may name: numbers that were kept or measured."""
    return [
        field.name
        for field in schema
        if field.name not in NO_PARAMETERS
        and not _voted(field.name)
        and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    ]


def without_votes(schema: pa.Schema) -> pa.Schema:
    """What a catalog says of objects before anything was voted on."""
    return pa.schema([field for field in schema if not _voted(field.name)])


def _voted(name: str) -> bool:
    return name in VOTED or name.startswith("vote_")


def medians_needed(classes: Classes, schema: pa.Schema) -> list[str]:
    """Columns whose medians a run takes: what its rules name, and the evidence."""
    known = parameters(schema)
    wanted = {name for name in EVIDENCE if name in known}
    if classes.by == "rules":
        lower = {name.lower(): name for name in known}
        wanted |= {lower[n.lower()] for rule in classes.rules for n in where.columns_of(rule.when)}
    return [name for name in known if name in wanted]


def faults(classes: Classes, schema: pa.Schema, kept: Sequence[str], source: str) -> list[Fault]:
    """What is wrong with `[classes]`, given the columns that the catalog will have.

    Parameters
    ----------
    classes : Classes
    schema : pa.Schema
        Of the catalog.
    kept : sequence of str
        The columns that `[survey] keep` carries to it, as they are called there.
    source : str
        Path of the config.
    """
    return [*split_faults(classes, schema, source), *naming_faults(classes, schema, kept, source)]


def split_faults(classes: Classes, schema: pa.Schema, source: str) -> list[Fault]:
    """The same for the rules on single objects alone."""
    own = without_votes(schema)
    found = [_split_fault(f"classes.split.{i}", rule, own, source) for i, rule in enumerate(classes.split)]
    return [fault for fault in found if fault is not None]


def naming_faults(classes: Classes, schema: pa.Schema, kept: Sequence[str], source: str) -> list[Fault]:
    """The same for what names groups."""
    found: list[Fault | None] = []
    if classes.by == "rules":
        found += [_rule_fault(i, rule, parameters(schema), source) for i, rule in enumerate(classes.rules)]
    if classes.by == "column":
        found.append(_column_fault(classes, schema, kept, source))
    return [fault for fault in found if fault is not None]


def _split_fault(key: str, rule: Split, columns: pa.Schema, source: str) -> Fault | None:
    if UNCLASSIFIED in (rule.class_, rule.into):
        problem = f"{UNCLASSIFIED} is the class of objects that are not kept"
        return Fault(source, problem, "Name another class", value=repr(UNCLASSIFIED), key=key)
    try:
        where.check(rule.when, columns)
    except where.BadCondition as error:
        remedy = "Write one SQL condition on the kept and measured columns of an object"
        return Fault(source, str(error).rstrip("."), remedy, value=rule.when, key=f"{key}.when")
    return None


def notes(classes: Classes, labels: Mapping[int, Label]) -> list[str]:
    """What a plan says of splits that no object may ever meet."""
    named = {rule.class_ for rule in classes.rules} | {label.name for label in labels.values()}
    unknown = sorted({rule.class_ for rule in classes.split} - named)
    if classes.by == "column" or not unknown:
        return []
    return [f"No rule or label gives a group the class {', '.join(unknown)}: nothing is split off it."]


def _rule_fault(number: int, rule: Rule, known: list[str], source: str) -> Fault | None:
    key = f"classes.rules.{number}.when"
    try:
        named = where.columns_of(rule.when)
        absent = [name for name in named if name.lower() not in {other.lower() for other in known}]
        if absent:
            return Fault(
                source, "this run has no such column of numbers", meant(absent[0], known), absent[0], key=key
            )
        where.check(rule.when, pa.schema([(name, pa.float64()) for name in ["group", *known]]))
    except where.BadCondition as error:
        remedy = "Write one SQL condition on the medians of a group's kept objects"
        return Fault(source, str(error).rstrip("."), remedy, value=rule.when, key=key)
    return None


def _column_fault(classes: Classes, schema: pa.Schema, kept: Sequence[str], source: str) -> Fault | None:
    name, key = str(classes.column), "classes.column"
    if name not in kept:
        remedy = f"Add it to [survey] keep, or name one that is kept. {meant(name, kept)}"
        return Fault(source, "the column of labels is not kept", remedy, name, key=key)
    kind = schema.field(name).type
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if classes.edges and not numbers:
        return Fault(source, f"edges need a column of numbers, not {kind}", "Leave them out", name, key=key)
    if classes.edges or pa.types.is_string(kind):
        return None
    if pa.types.is_floating(kind) or not (numbers or pa.types.is_boolean(kind)):
        problem = f"{kind} values are no labels by themselves"
        return Fault(
            source, problem, "Give edges and names of bins" if numbers else "Choose another", name, key=key
        )
    if not classes.names:
        problem = f"{kind} values are codes, and a class is a name"
        return Fault(
            source, problem, "Give edges and names, or a table of names for the values", name, key=key
        )
    return None


def meant(name: str, known: Sequence[str]) -> str:
    """What to do about a column that is not there: the name that was meant, and those there are."""
    similar = difflib.get_close_matches(name.lower(), [other.lower() for other in known], 1)
    alike = [other for other in known if other.lower() in similar]
    there = f"There are: {', '.join(known) or 'none'}"
    return f"Did you mean {alike[0]!r}? {there}" if alike else there


def labels_of(column: pa.ChunkedArray, classes: Classes) -> pa.Array:
    """The label of each object, (n,) string; null where the column says nothing."""
    if classes.edges:
        values = column.cast(pa.float64(), safe=False).to_numpy()
        bins = np.searchsorted(np.asarray(classes.edges), values, side="right")
        index = pa.array(bins, pa.int32(), mask=np.isnan(values))
        return pa.array(list(classes.names), pa.string()).take(index)
    texts = column.cast(pa.string()).combine_chunks().dictionary_encode()
    values = [text.strip() or None for text in texts.dictionary.to_pylist()]
    if isinstance(classes.names, dict) and classes.names:
        values = [classes.names.get(value) if value is not None else None for value in values]
    return pa.array(values, pa.string()).take(texts.indices)


def held_out(ids: NDArray[Any], share: float, seed: int) -> NDArray[np.bool_]:
    """Which objects' labels name nothing, (n,), by a hash of their ids alone."""
    return hash_ids(ids, seed ^ _HELD_OUT) < np.uint64(share * 2.0**64)


def by_rules(
    rules: Sequence[Rule], medians: Mapping[str, NDArray[np.float64]], groups: int
) -> list[Rule | None]:
    """The first rule that holds for each group; a condition on a median that is not known does not."""
    # DuckDB holds NaN for larger than every number, but null for neither.
    columns = {name: pa.array(values, from_pandas=True) for name, values in medians.items()}
    rows = pa.table({"group": np.arange(groups), **columns})
    chosen: list[Rule | None] = [None] * groups
    for rule in reversed(rules):
        for group in np.flatnonzero(where.selected(rule.when, rows)):
            chosen[group] = rule
    return chosen


def by_labels(labels: Counter[str], smallest_share: float) -> str | None:
    """The commonest label if its share is large enough; None too where two are equally common.

    Raises
    ------
    BadLabels
        If it is no name.
    """
    ranked = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
    if not ranked or ranked[0][1] < smallest_share * labels.total():
        return None
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        return None
    try:
        return class_name(ranked[0][0])
    except ValueError as error:
        remedy = "Give [classes.names] a table of the values and their classes"
        raise BadLabels(f"[classes] column: the label {ranked[0][0]!r} {error}. {remedy}.") from error
