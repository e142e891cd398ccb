"""The voter's results land on the right rows, and unusable objects stay without any."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actors.embeddings import embeddings_of
from actors.voter import Voter
from kernels.anomaly import oddness_of
from kernels.codes import Codes, scales_of
from kernels.confidence import Calibration, branches, calibrate, level_share
from kernels.members import fit_member
from kernels.moments import fixed_point_exponent, moments, principal_components, project
from kernels.vote import align, ensemble, vote

FAMILIES = ["kmeans", "birch", "ward"]


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(3, 12)) * 6
    values = (centres[np.arange(300) % 3] + rng.normal(size=(300, 12))).astype(np.float16)
    components = principal_components(moments(values, fixed_point_exponent(float(np.abs(values).max()))), 4)
    codes = project(values, components)
    reference = fit_member("kmeans", codes, 3, 0)
    members = [fit_member(family, codes[bag::2], 3, 1, bag) for bag in range(2) for family in FAMILIES]
    return values, components, ensemble(align(members, reference, codes), reference)


def voter_of(parts, rule="agreement", threshold=0.66, **calibrations):
    _, components, chosen = parts
    arrays = {"components": components.to_arrays(), "ensemble": chosen.to_arrays()}
    return Voter(**arrays, rule=rule, threshold=threshold, level=branch_of(parts), **calibrations)


def branch_of(parts):
    values, components, chosen = parts
    return branches(chosen, project(values, components), 2)


def calibrations_of(parts):
    values, components, chosen = parts
    levels = [np.arange(3), branch_of(parts)]
    groups, on_branches = calibrate(project(values, components), chosen, levels)
    return {"groups": groups.to_arrays(), "branches": on_branches.to_arrays()}


def table_of(values, missing):
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    index = pa.array(np.arange(len(values)), mask=missing)
    return pa.table({"object_id": pa.array(np.arange(len(values)) * 10), "embedding": lists.take(index)})


def test_unusable_objects_get_nulls_and_shift_nobody(parts):
    values = parts[0]
    missing = np.arange(300) % 7 == 0
    found = voter_of(parts)(table_of(values, missing))
    whole = voter_of(parts)(table_of(values, np.zeros(300, bool)))
    assert found["object_id"].to_pylist() == [10 * i for i in range(300)]
    for name in found.column_names[1:]:
        here, there = found[name].to_pylist(), whole[name].to_pylist()
        assert here == [None if m else v for v, m in zip(there, missing)]


def test_numbers_beside_an_embedding_stay_with_their_object(parts):
    values, components, _ = parts
    numbers = np.random.default_rng(9).normal(size=(300, 2))
    codes = Codes(components, scales_of(numbers, components, 2.0))
    reference = fit_member("kmeans", codes(values, numbers), 3, 0)
    chosen = ensemble([fit_member("kmeans", codes(values, numbers), 3, 0, 0)], reference)
    arrays = {"components": codes.to_arrays(), "ensemble": chosen.to_arrays()}
    voter = Voter(**arrays, rule="agreement", threshold=0.5, level=np.arange(3, dtype=np.int16))
    missing = np.arange(300) % 7 == 0
    lists = pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), 2)
    found = voter(table_of(values, missing).append_column("numbers", lists))["distance"].to_pylist()
    expected = vote(codes(values, numbers), chosen).distance
    assert found == [None if m else d for m, d in zip(missing, expected.tolist())]


def test_columns_declare_what_a_vote_adds(parts):
    found = voter_of(parts)(table_of(parts[0], np.zeros(300, bool)))
    declared = Voter.columns(FAMILIES).schema
    assert found.schema.names == ["object_id", *declared.names, "shares"]
    assert [found.schema.field(n).type for n in declared.names] == list(declared.types)
    assert all(found.schema.field(n).metadata[b"description"] for n in declared.names)


def test_vote_in_the_actor_is_the_kernels_vote(parts):
    values, components, chosen = parts
    ballot = vote(project(values, components), chosen)
    found = voter_of(parts)(table_of(values, np.zeros(300, bool)))
    np.testing.assert_array_equal(found["group"].to_numpy(), ballot.group)
    np.testing.assert_array_equal(found["agreement"].to_numpy(), ballot.agreement)
    strict = voter_of(parts, "unanimous")(table_of(values, np.zeros(300, bool)))
    np.testing.assert_array_equal(strict["kept"].to_numpy(zero_copy_only=False), ballot.agreement == 1)


@pytest.mark.parametrize(
    ("rule", "column"), [("confidence", "confidence"), ("branches", "branch_confidence")]
)
def test_a_rule_keeps_by_the_column_that_it_names(parts, rule, column):
    values, components, chosen = parts
    calibrations = calibrations_of(parts)
    found = voter_of(parts, rule, **calibrations)(table_of(values, np.arange(300) % 7 == 0))
    assert found["kept"].to_pylist() == [
        None if v is None else bool(v >= np.float32(0.66)) for v in found[column].to_pylist()
    ]
    ballot = vote(project(values, components), chosen)
    whole = voter_of(parts, rule, **calibrations)(table_of(values, np.zeros(300, bool)))
    of_branches = Calibration.from_arrays(calibrations["branches"])
    np.testing.assert_array_equal(whole["branch_confidence"].to_numpy(), of_branches(ballot))
    np.testing.assert_array_equal(whole["branch"].to_numpy(), of_branches.level[ballot.group])


def test_before_groups_have_classes_the_share_of_the_branch_decides(parts):
    values, components, chosen = parts
    ballot = vote(project(values, components), chosen)
    share = level_share(ballot.shares, ballot.group, branch_of(parts))
    middle = float(np.median(share))
    found = voter_of(parts, "classes", threshold=middle)(table_of(values, np.zeros(300, bool)))
    kept = found["kept"].to_numpy(zero_copy_only=False)
    np.testing.assert_array_equal(kept, share >= np.float32(middle))
    assert 0 < kept.sum() < 300


def test_without_other_bags_there_is_no_confidence_and_no_rule_that_goes_by_it(parts):
    found = voter_of(parts)(table_of(parts[0], np.zeros(300, bool)))
    for name in ("confidence", "branch_confidence"):
        assert found[name].null_count == 300
    assert set(found["branch"].to_pylist()) == {0, 1}
    with pytest.raises(ValueError, match="needs calibrations"):
        voter_of(parts, "branches")


@pytest.mark.parametrize("missing", [np.ones(300, bool), np.zeros(0, bool)])
def test_batches_without_any_usable_object_pass(parts, missing):
    found = voter_of(parts)(table_of(parts[0][: len(missing)], missing))
    assert found.num_rows == len(missing)
    assert found["group"].null_count == len(missing)


def test_embeddings_skip_null_lists_also_in_slices_of_a_column(parts):
    column = table_of(parts[0], np.arange(300) % 2 == 0)["embedding"].slice(10, 20)
    values, usable = embeddings_of(column)
    np.testing.assert_array_equal(values, parts[0][11:30:2])
    assert usable.tolist() == [False, True] * 10


def test_oddness_lands_on_other_rows_and_is_there_without_a_sample(parts):
    values = parts[0]
    largest = float(np.abs(values).max())
    oddness = oddness_of(moments(values, fixed_point_exponent(largest)), values[:200], largest)
    missing = np.arange(300) % 7 == 0
    found = voter_of(parts, oddness=oddness.to_arrays())(table_of(values, missing))
    percentile, distance = oddness(values)
    for name, wanted in (("anomaly", percentile), ("anomaly_distance", distance)):
        column = found[name].to_pylist()
        assert column == [None if gone else each for gone, each in zip(missing, wanted.tolist())]
    assert voter_of(parts)(table_of(values, missing))["anomaly"].null_count == 300
