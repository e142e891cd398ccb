"""The vote: one vote a member, no group passes unchecked, and a row's result is its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.families import FAMILIES
from kernels.members import Member, fit_member
from kernels.vote import Ensemble, align, ensemble, kept, vote


def member(family, prototypes, labels, bag=0):
    points = np.array(prototypes, dtype=np.float32)
    return Member(family, bag, points.reshape(len(labels), -1), np.array(labels, dtype=np.int32))


def codes_of(*values):
    return np.array(values, dtype=np.float32)[:, None]


def published_unanimous(reference, others):
    """The rule of the authors' get_final_result.py: {object: label} of what it calls unanimous.

    Each method's clusters are renamed by majority into a table {label: objects}; later clusters of the same label
    replace earlier ones, and a label is intersected with those tables only that have it.
    """
    settled = {int(label): set(np.flatnonzero(reference == label)) for label in np.unique(reference)}
    for clusters in others:
        table = {}
        for cluster in np.unique(clusters):
            objects = np.flatnonzero(clusters == cluster)
            table[int(np.bincount(reference[objects]).argmax())] = set(objects)
        for label, objects in table.items():
            if label in settled:
                settled[label] &= objects
    return {int(item): label for label, objects in settled.items() for item in objects}


def true_unanimous(reference, others):
    """What unanimity means: every method's renamed cluster of the object is the reference's group."""
    agreed = np.ones(len(reference), dtype=bool)
    for clusters in others:
        for cluster in np.unique(clusters):
            objects = clusters == cluster
            agreed[objects] &= reference[objects] == np.bincount(reference[objects]).argmax()
    return {int(item): int(reference[item]) for item in np.flatnonzero(agreed)}


def our_unanimous(codes, reference, others):
    aligned = align([reference, *others], reference, codes)
    ballot = vote(codes, ensemble(aligned, reference))
    chosen = np.flatnonzero(kept(ballot.agreement, "unanimous"))
    return {int(item): int(ballot.group[item]) for item in chosen}, ballot


def test_two_clusters_of_one_group_do_not_overwrite_each_other():
    codes = codes_of(0, 1, 2, 3, 20, 21)
    reference = member("kmeans", [1.5, 20.5], [0, 1])
    halves = member("birch", [0.5, 2.5, 20.5], [0, 1, 2])  # cuts group 0 in two
    whole = member("ward", [1.5, 20.5], [0, 1])
    labels = reference(codes)
    others = [halves(codes), whole(codes)]
    everyone = {0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1}
    assert true_unanimous(labels, others) == everyone
    assert our_unanimous(codes, reference, [halves, whole])[0] == everyone
    # The published rule drops the first half, though nobody disagrees about it.
    assert published_unanimous(labels, others) == {2: 0, 3: 0, 4: 1, 5: 1}


def test_group_that_no_cluster_of_a_member_maps_to_does_not_pass_unchecked():
    codes = codes_of(0, 1, 2, 3, 9, 10, 40, 41)
    reference = member("kmeans", [1.5, 9.5, 40.5], [0, 1, 2])
    blind = member("birch", [4.0, 40.5], [0, 1])  # sees no group 1
    same = member("ward", [1.5, 9.5, 40.5], [2, 0, 1])
    labels = reference(codes)
    others = [blind(codes), same(codes)]
    ours, ballot = our_unanimous(codes, reference, [blind, same])
    assert ours == true_unanimous(labels, others) == {0: 0, 1: 0, 2: 0, 3: 0, 6: 2, 7: 2}
    assert ballot.agreement[4] == np.float32(2 / 3)
    assert ballot.runner_up[4] == 0
    # The published rule calls objects 4 and 5 unanimous, though BIRCH puts them into group 0.
    published = published_unanimous(labels, others)
    assert published[4] == published[5] == 1


def test_vote_is_the_true_unanimity_on_real_members():
    draw = np.random.default_rng(0)
    codes = (draw.normal(size=(1200, 5)) * [3, 2, 1, 1, 1]).astype(np.float32)
    fitted = {family: fit_member(family, codes, 12, seed=0) for family in FAMILIES}
    reference, others = fitted["kmeans"], [fitted["birch"], fitted["ward"]]
    labels = [other(codes) for other in others]
    ours, _ = our_unanimous(codes, reference, others)
    assert ours == true_unanimous(reference(codes), labels)
    assert ours != published_unanimous(reference(codes), labels)


def test_cluster_without_pilot_objects_takes_the_nearest_group():
    reference = member("kmeans", [0.0, 10.0, 20.0], [0, 1, 2])
    other = member("ward", [0.0, 19.0, 23.0], [0, 1, 1])
    renamed = align([other], reference, codes_of(0, 1, -1))[0]
    assert renamed.labels.tolist() == [0, 2, 2]


def test_majority_tie_of_a_cluster_goes_to_the_lowest_group():
    reference = member("kmeans", [0.0, 10.0], [0, 1])
    assert align([member("ward", [5.0], [0])], reference, codes_of(10, 0))[0].labels.tolist() == [0]


def test_alignment_changes_neither_input_nor_prototypes():
    reference = member("kmeans", [0.0, 10.0], [0, 1])
    other = member("ward", [10.0, 0.0], [0, 1])
    aligned = align([other], reference, codes_of(0, 10))[0]
    assert other.labels.tolist() == [0, 1]
    assert aligned.labels.tolist() == [1, 0]
    assert aligned.prototypes is other.prototypes


def panel(seed, dimensions=3, groups=6):
    """Members on an integer grid, where ties of every kind are common."""
    draw = np.random.default_rng(seed)

    def grid(rows):
        return draw.integers(-2, 3, (rows, dimensions)).astype(np.float32)

    reference = Member("kmeans", 0, grid(groups), np.arange(groups, dtype=np.int32))
    members = []
    for number in range(int(draw.integers(1, 9))):
        size = int(draw.integers(1, 40))
        labels = draw.integers(0, groups, size).astype(np.int32)
        members.append(Member(FAMILIES[number % 3], number // 3, grid(size), labels))
    return ensemble(members, reference), grid(200)


def twin_vote(codes, stacked):
    """One object, one member, one prototype at a time."""

    def squared(a, b):
        return float(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)))

    def winner(counts, gaps):
        most = max(counts)
        return min((g for g in range(len(counts)) if counts[g] == most), key=lambda g: (gaps[g], g))

    for code in codes:
        gaps = [squared(code, centre) for centre in stacked.centres]
        counts = {family: [0] * stacked.groups for family in stacked.families}
        for number, family in enumerate(stacked.families):
            own = range(stacked.starts[number], stacked.starts[number + 1])
            best = min(own, key=lambda p: (squared(code, stacked.prototypes[p]), p))
            counts[family][stacked.labels[best]] += 1
        total = [sum(column) for column in zip(*counts.values(), strict=True)]
        group = winner(total, gaps)
        share = total[group] / sum(total)
        total[group] = 0
        second = winner(total, gaps) if max(total) else None
        families = {family: winner(own, gaps) for family, own in counts.items()}
        yield group, share, second, gaps[group] ** 0.5, families, winner([0] * stacked.groups, gaps)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_vote_equals_the_obvious_loop_with_all_its_ties(seed):
    stacked, codes = panel(seed)
    ballot = vote(codes[:60], stacked)
    for row, (group, share, second, distance, families, single) in enumerate(twin_vote(codes[:60], stacked)):
        assert ballot.group[row] == group
        assert ballot.agreement[row] == np.float32(share)
        assert (ballot.runner_up[row] is np.ma.masked) == (second is None)
        assert second is None or ballot.runner_up[row] == second
        assert ballot.distance[row] == pytest.approx(distance, rel=1e-6)
        assert {family: groups[row] for family, groups in ballot.family_groups.items()} == families
        assert ballot.reference_group[row] == single


def same(a, b, rows=slice(None)):
    return (
        (a.group[rows] == b.group).all()
        and (a.agreement[rows] == b.agreement).all()
        and (a.runner_up.mask[rows] == b.runner_up.mask).all()
        and (a.runner_up.data[rows] == b.runner_up.data).all()
        and (a.distance[rows].tobytes() == b.distance.tobytes())
        and (a.reference_group[rows] == b.reference_group).all()
        and all((a.family_groups[f][rows] == b.family_groups[f]).all() for f in a.family_groups)
    )


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 900))
def test_ballot_of_a_row_ignores_batch_and_neighbours(seed, size):
    draw = np.random.default_rng(seed)
    codes = draw.normal(size=(1500, 40)).astype(np.float32)
    members = [fit_member("kmeans", codes, 20, 0)]
    members.append(Member("birch", 0, codes[:600], draw.integers(0, 20, 600).astype(np.int32)))
    stacked = ensemble(members, members[0])
    together = vote(codes, stacked)
    order = draw.permutation(len(codes))[:size]
    assert same(together, vote(codes[order], stacked), order)
    assert same(together, vote(codes[order[:1]], stacked), order[:1])


def test_no_object_is_no_error():
    stacked, codes = panel(3)
    ballot = vote(codes[:0], stacked)
    assert ballot.group.shape == ballot.runner_up.shape == (0,)


def test_not_a_number_is_refused_loudly():
    stacked, codes = panel(3)
    codes[5, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 200"):
        vote(codes, stacked)


def test_runner_up_is_masked_and_never_a_sentinel():
    stacked, codes = panel(1)
    ballot = vote(codes, stacked)
    assert ballot.runner_up.dtype == ballot.group.dtype == np.int16
    assert (ballot.runner_up.mask == (ballot.agreement == 1.0)).all()
    assert (ballot.runner_up.data >= 0).all()


def test_stored_ensemble_votes_alike():
    stacked, codes = panel(8)
    arrays = stacked.to_arrays()
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "iuf" for array in arrays.values())
    again = Ensemble.from_arrays({name: array.copy() for name, array in arrays.items()})
    assert again.families == stacked.families
    assert same(vote(codes, stacked), vote(codes, again))


def test_order_of_members_changes_nothing():
    draw = np.random.default_rng(2)
    codes = draw.normal(size=(800, 4)).astype(np.float32)
    members = [fit_member(family, codes, 9, 0, bag) for bag in range(2) for family in FAMILIES]
    aligned = align(members, members[0], codes)
    forward, backward = (vote(codes, ensemble(some, members[0])) for some in (aligned, aligned[::-1]))
    assert same(forward, backward)


def test_unaligned_or_absent_members_are_refused():
    reference = member("kmeans", [0.0, 1.0], [0, 1])
    with pytest.raises(ValueError, match="align first"):
        ensemble([member("ward", [0.0], [5])], reference)
    with pytest.raises(ValueError, match="at least one member"):
        ensemble([], reference)
    with pytest.raises(ValueError, match="k-means"):
        align([], member("ward", [0.0], [0]), codes_of(0))
    with pytest.raises(ValueError, match="pilot objects, got none"):
        align([], reference, codes_of(0)[:0])


def test_kept_rules():
    agreement = np.array([1.0, 0.7, 7 / 10, 16 / 24, 0.5, np.nan], dtype=np.float32)
    assert kept(agreement, "unanimous").tolist() == [True, False, False, False, False, False]
    assert kept(agreement, "agreement", 0.7).tolist() == [True, True, True, False, False, False]
    assert kept(agreement, "agreement", 2 / 3).tolist() == [True, True, True, True, False, False]
    with pytest.raises(ValueError, match="unknown rule 'majority'"):
        kept(agreement, "majority")
    with pytest.raises(ValueError, match="within"):
        kept(agreement, "agreement", 0.0)
