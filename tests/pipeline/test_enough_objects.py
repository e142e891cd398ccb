"""Objects too few for the groups asked of them are refused before the work, with a number that does; what passes the plan can be fitted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from catalogs.errors import Fault
from catalogs.inspect import inspect
from catalogs.release import Release
from kernels import bags
from kernels.draws import least_of_binomial, smallest_bag, smallest_pilot
from kernels.members import fit_member
from kernels.moments import fixed_point_exponent, moments, principal_components, project
from kernels.vote import align, ensemble, vote
from pipeline.config.file import Config, parse
from pipeline.plan import enough_objects
from tests.conftest import TinyRelease

FEATURES = 12
SEEN = (1, 2, 3, 4, 6, 9, 13, 18, 25, 32, 41, 52, 60, 250)
"""Objects of the releases."""


TURNS = pytest.mark.parametrize("turns", [112, pytest.param(600, marks=pytest.mark.slow)])
"""Settings that are tried."""


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Release]:
    """Releases of so many objects."""
    tiny = TinyRelease(tmp_path_factory.mktemp("few") / "release", per_side=16)
    found, table = {}, tiny.table
    for objects in SEEN:
        tiny.table = table[:objects]
        tiny.write(min(2, objects))
        shards = tiny.folder / f"of_{objects}"
        (tiny.folder / "catalogs").rename(shards)
        (tiny.folder / "catalogs").mkdir()
        config = parse(tiny.config(survey={"catalogs": f"{shards}/*.fits"}), "survey.toml")
        found[objects] = inspect(config.survey, str(tiny.folder))
    return found


class _Bare(TinyRelease):
    def __init__(self) -> None:
        self.bands = ("r",)


BARE = _Bare()
"""For its config alone."""


def fitted(config: Config, ids: np.ndarray, values: np.ndarray) -> int:
    """What reduce, fit and vote do, in this process: objects in the smallest bag."""
    settings, total = config.fit, len(ids)
    enough_objects.check_usable(settings, ids, {})
    summed = moments(values, fixed_point_exponent(float(np.abs(values).max())))
    codes = project(values, principal_components(summed, config.reduce.components))
    order = bags.canonical_order(ids, settings.seed)
    ids, codes = ids[order], codes[order]
    pilot = codes[bags.in_pilot(ids, total, settings.pilot_rows, settings.seed)]
    if not len(pilot):
        enough_objects.check_fit(settings, total, pilot)
    strata = rates = None
    if settings.resample == "hash":
        strata = bags.stratify(pilot, seed=settings.seed)
        rates = bags.inclusion(strata.shares, total, settings.bag_rows)
    resample: Any = "strata" if settings.resample == "hash" else "none"
    masks = bags.bag_masks(ids, codes, strata, rates, settings.bags, settings.seed, resample)
    enough_objects.check_fit(settings, total, pilot, (codes[mask] for mask in masks))
    members = [
        fit_member(family, codes[mask], settings.groups, bag, bag)
        for bag, mask in enumerate(masks)
        for family in settings.families
    ]
    reference = fit_member("kmeans", pilot, settings.groups, settings.seed)
    ballot = vote(codes, ensemble(align(members, reference, pilot), reference))
    assert ballot.group.max() < settings.groups
    return int(masks.sum(axis=1).min())


def embeddings(objects: int) -> np.ndarray:
    return np.random.default_rng(objects).normal(size=(objects, FEATURES)).astype(np.float16)


def stopped_by(config: Config, ids: np.ndarray) -> str | None:
    try:
        fitted(config, ids, embeddings(len(ids)))
    except enough_objects.TooFewObjects as error:
        return str(error)
    return None


def fault_of(config: Config, release: Release) -> Fault | None:
    faults = enough_objects.group_faults(config, "survey.toml", release)
    assert len(faults) <= 1
    return faults[0] if faults else None


def settings_of(rng: np.random.Generator) -> dict[str, Any]:
    resample = rng.choice(["hash", "hash", "hash", "none"])
    families = [f for f in ("kmeans", "birch", "ward") if rng.random() < 0.6] or ["ward"]
    return {
        "groups": int(rng.integers(2, 30)),
        "bags": 1 if resample == "none" else int(rng.choice([1, 2, 8])),
        "resample": str(resample),
        "families": families,
        "bag_rows": int(rng.choice([10, 35, 60, 100_000])),
        "pilot_rows": int(rng.choice([10, 25, 20_000])),
        "seed": int(rng.integers(3)),
    }


@TURNS
def test_what_passes_the_plan_is_fitted_and_what_it_refuses_would_have_failed(releases, turns):
    rng = np.random.default_rng(0)
    passed = refused = 0
    for turn in range(turns):
        objects = SEEN[turn % len(SEEN)]
        components: float = [3, 10, 0.9][int(rng.integers(3))]
        config = parse(BARE.config(fit=settings_of(rng), reduce={"components": components}), "survey.toml")
        fault = fault_of(config, releases[objects])
        ids = np.arange(1, objects + 1)
        if fault is None:
            fitted(config, ids, embeddings(objects))
            passed += 1
            continue
        refused += 1
        assert fault.key == "fit.groups"
        told = stopped_by(config, ids)
        # Strata may give a bag some objects more than the plan can know of.
        assert told is not None or config.fit.bag_rows < bags.FRACTION * objects
        assert "\n" not in (told or "")
        assert "run again" in (told or "run again")
    assert min(passed, refused) > turns / 8


@TURNS
def test_numbers_that_the_remedy_names_do(releases, turns):
    rng = np.random.default_rng(1)
    told = {"groups": 0, "bag_rows": 0, "pilot_rows": 0, "whole": 0}
    for turn in range(turns):
        objects = SEEN[turn % len(SEEN)]
        fit = settings_of(rng)
        fault = fault_of(parse(BARE.config(fit=fit), "survey.toml"), releases[objects])
        if fault is None:
            continue
        changes: list[dict[str, Any]] = []
        if most := re.match(r"Set at most (\d+)", fault.remedy):
            changes.append({"groups": int(most[1])})
            told["groups"] += 1
        if rows := dict(re.findall(r"(bag_rows|pilot_rows) at least (\d+)", fault.remedy)):
            changes.append({name: int(value) for name, value in rows.items()})
            for name in rows:
                told[name] += 1
        if fault.remedy == f"Set {enough_objects.WHOLE}":
            changes.append({"groups": 2, "resample": "none", "bags": 1})
            told["whole"] += 1
        assert changes or (objects < 3 and fault.remedy == "Groups need at least 3 objects")
        for change in changes:
            config = parse(BARE.config(fit={**fit, **change}), "survey.toml")
            assert fault_of(config, releases[objects]) is None, (fault, change)
            fitted(config, np.arange(1, objects + 1), embeddings(objects))
    assert min(told.values()) >= turns // 100, told


def test_25_objects_make_no_20_groups(releases):
    config = parse(BARE.config(fit={"groups": 20, "bags": 8}), "survey.toml")
    fault = fault_of(config, releases[25])
    assert fault is not None
    assert "20 groups are too many for 25 objects: the smallest bag holds as few as" in fault.problem
    assert fault.remedy.startswith("Set at most 1")


def test_a_pilot_that_holds_fewer_objects_than_groups(releases):
    config = parse(BARE.config(fit={"groups": 20, "bags": 2, "pilot_rows": 10}), "survey.toml")
    fault = fault_of(config, releases[60])
    assert fault is not None
    assert "the pilot holds as few as" in fault.problem
    assert "pilot_rows at least" in fault.remedy


def test_release_too_large_to_look_at_is_judged_by_chances(releases):
    release = replace(releases[60], selected=None)
    few = parse(BARE.config(fit={"groups": 60, "bags": 2}), "survey.toml")
    assert fault_of(few, release) is not None
    assert fault_of(parse(BARE.config(fit={"groups": 10, "bags": 2}), "survey.toml"), release) is None


@pytest.mark.parametrize("groups", [512, 513, 1000])
def test_members_of_very_many_groups_are_fitted(groups):
    codes = np.random.default_rng(0).normal(size=(1500, 3)).astype(np.float32)
    for family in ("kmeans", "birch", "ward"):
        member = fit_member(family, codes, groups, 1, exact_rows=1000)
        assert len(np.unique(member.labels)) == groups


def test_embeddings_that_are_alike_end_in_one_line_that_says_what_to_set():
    config = parse(BARE.config(fit={"groups": 6, "bags": 2}), "survey.toml")
    values = np.repeat(embeddings(4), 10, axis=0)
    with pytest.raises(enough_objects.TooFewObjects, match="whose embeddings differ") as error:
        fitted(config, np.arange(40), values)
    assert "Set at most 4" in str(error.value)
    fitted(parse(BARE.config(fit={"groups": 4, "bags": 2}), "survey.toml"), np.arange(40), values)


def test_objects_that_turn_out_unusable_are_named_by_their_flags():
    config = parse(BARE.config(fit={"groups": 20}), "survey.toml")
    with pytest.raises(enough_objects.TooFewObjects) as error:
        enough_objects.check_usable(config.fit, np.arange(7), {"blank": 18, "edge": 0})
    text = str(error.value)
    assert "7 are usable (flags: blank 18)" in text
    most = re.search(r"Set at most (\d+)", text)
    assert most
    enough_objects.check_usable(parse(BARE.config(fit={"groups": int(most[1])}), "x").fit, np.arange(7), {})
    with pytest.raises(enough_objects.TooFewObjects, match="at least 3"):
        enough_objects.check_usable(config.fit, np.arange(0), {"blank": 25})


def test_more_components_than_objects_is_told(releases):
    assert enough_objects.notes(parse(BARE.config(reduce={"components": 8}), "x"), releases[6])
    assert not enough_objects.notes(parse(BARE.config(reduce={"components": 5}), "x"), releases[6])
    assert not enough_objects.notes(parse(BARE.config(reduce={"components": 0.9}), "x"), releases[6])


def test_draws_are_counted_as_they_are_made():
    ids = np.arange(500)
    assert smallest_pilot(ids, 50, 3) == bags.in_pilot(ids, 500, 50, 3).sum()
    assert smallest_pilot(ids, 600, 3) == 500
    strata = bags.stratify(np.random.default_rng(0).normal(size=(500, 4)), 8)
    codes = np.random.default_rng(0).normal(size=(500, 4))
    masks = bags.bag_masks(ids, codes, strata, bags.inclusion(strata.shares, 500, 100_000), 8, 3)
    assert smallest_bag(ids, 100_000, 8, 3) == masks.sum(axis=1).min()


def test_least_of_a_draw_is_missed_in_one_case_of_a_million():
    for objects, rate, draws in ((25, 0.632, 8), (10**9, 2e-8, 1), (10**9, 1e-6, 8), (7, 0.1, 2)):
        least = least_of_binomial(objects, rate, draws, 1000)
        assert draws * binom.cdf(least - 1, objects, rate) < 1e-6
        assert draws * binom.cdf(least, objects, rate) >= 1e-6 or least == 1000
    assert least_of_binomial(30, 1.0, 1, 1000) == 30
