"""Bags depend on ids, codes and the seed, and on nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.bags import Strata, bag_masks, canonical_order, hash_ids, in_pilot, inclusion, stratify

WORD = 2**64 - 1


def twin_mix(word):
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & WORD
    return word ^ (word >> 31)


def twin_hash(item, seed):
    golden = 0x9E3779B97F4A7C15
    key = twin_mix((seed + golden) & WORD)
    if isinstance(item, int):
        return twin_mix(twin_mix((item + golden) & WORD) ^ key)
    text = item.encode() if isinstance(item, str) else item
    folded = twin_mix(len(text) + golden)
    for start in range(0, len(text), 8):
        word = int.from_bytes(text[start : start + 8], "little")
        folded = (twin_mix(folded ^ word) + golden) & WORD
    return twin_mix(folded ^ key)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), st.integers(-5, 2**70))
def test_integer_hashes_equal_scalar_twin(ids, seed):
    found = hash_ids(np.array(ids, dtype=np.int64), seed)
    assert found.tolist() == [twin_hash(item, seed & WORD) for item in ids]


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=20))
def test_text_hashes_equal_scalar_twin_for_any_array_type(ids):
    expected = [twin_hash(item, 3) for item in ids]
    assert hash_ids(np.array(ids, dtype=np.str_), 3).tolist() == expected
    assert hash_ids(np.array(ids, dtype=object), 3).tolist() == expected
    assert hash_ids(np.array([item.encode() for item in ids], dtype=np.bytes_), 3).tolist() == expected


@pytest.mark.parametrize("kind", ["i2", "i4", ">i4", "i8", ">i8", "u2", "u4", "u8", "O"])
def test_hash_ignores_the_width_of_integers(kind):
    ids = [0, 1, 7, 30000]
    assert (hash_ids(np.array(ids).astype(kind), 1) == hash_ids(np.array(ids), 1)).all()


def test_negative_ids_hash_alike_at_any_width():
    assert (hash_ids(np.array([-1, -9], "i2"), 1) == hash_ids(np.array([-1, -9], "i8"), 1)).all()


@pytest.mark.parametrize("kind", ["U5", "U40", "S5", "S8", "S33", ">U12"])
def test_hash_ignores_the_padding_of_text(kind):
    ids = np.array(["", "a", "PGC12"])
    assert (hash_ids(ids.astype(kind), 1) == hash_ids(ids, 1)).all()


def test_texts_that_differ_in_one_place_or_length_do_not_collide():
    ids = np.array(
        [f"J{i:07d}+{j:03d}" for i in range(500) for j in range(40)] + ["a" * n for n in range(64)]
    )
    assert len(np.unique(hash_ids(ids, 0))) == len(ids)


def test_every_input_bit_flips_half_of_the_output_bits():
    ids = np.random.default_rng(0).integers(0, 2**62, 2000)
    for bit in (0, 1, 13, 40, 61):
        flipped = hash_ids(ids, 0) ^ hash_ids(ids ^ (1 << bit), 0)
        share = np.unpackbits(flipped.view(np.uint8)).mean()
        assert abs(share - 0.5) < 0.01


@pytest.mark.parametrize(
    "ids", [np.array([1.5]), np.array([None]), np.array([1, "a"], object), np.array([True])]
)
def test_ids_that_are_no_ids_are_refused(ids):
    with pytest.raises(TypeError, match="ids must be"):
        hash_ids(ids, 0)


def test_pilot_has_the_asked_size_and_does_not_depend_on_sharding():
    ids = np.arange(100_000)
    mask = in_pilot(ids, len(ids), 5000, 7)
    assert abs(int(mask.sum()) - 5000) < 5 * np.sqrt(5000)
    parts = np.concatenate([in_pilot(part, len(ids), 5000, 7) for part in np.array_split(ids, 13)])
    assert (parts == mask).all()
    assert in_pilot(ids, len(ids), 10**9, 7).all()
    assert in_pilot(ids[:0], 1, 1, 7).shape == (0,)


def blobs(rows, seed=0):
    """Three populations, the last of one object in a thousand."""
    draw = np.random.default_rng(seed)
    which = draw.choice(3, rows, p=[0.6, 0.399, 0.001])
    return (draw.normal(size=(rows, 4)) + 30.0 * which[:, None]).astype(np.float32), which


def test_rare_strata_are_raised_and_common_ones_keep_the_uniform_rate():
    shares = np.array([0.6, 0.399, 0.001, 0.0])
    rates = inclusion(shares, 1_000_000, 100_000)
    assert rates.tolist()[:2] == [0.1, 0.1]
    assert rates[2] == 0.632  # 1,000 objects are fewer than the floor of 6,250
    assert rates[3] == 0.632
    assert inclusion(np.array([0.99, 0.01]), 1_000_000, 100_000)[1] == 0.632
    assert inclusion(np.array([0.95, 0.05]), 1_000_000, 100_000)[1] == pytest.approx(0.25)


@given(
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=40),
    total=st.integers(1, 10**10),
    rows=st.integers(1, 10**10),
    fraction=st.floats(0.01, 1.0),
)
def test_rates_stay_between_uniform_and_fraction(shares, total, rows, fraction):
    rates = inclusion(np.array(shares) / max(sum(shares), 1e-9), total, rows, fraction)
    assert (rates >= min(fraction, rows / total)).all()
    assert (rates <= fraction).all()


def test_bags_keep_the_rare_population():
    codes, which = blobs(60_000)
    ids = np.arange(len(codes))
    pilot = in_pilot(ids, len(ids), 20_000, 1)
    strata = stratify(codes[pilot], 8, seed=1)
    assert strata.shares.sum() == pytest.approx(1.0)
    rates = inclusion(strata.shares, len(ids), 3000)
    masks = bag_masks(ids, codes, strata, rates, 6, seed=1)
    assert masks.shape == (6, len(ids))
    assert masks[:, which == 2].mean() > 0.5
    assert abs(masks[:, which == 0].mean() - 0.05) < 0.01
    overlap = (masks[0] & masks[1])[which == 0].mean()
    assert abs(overlap - 0.05**2) < 0.002  # bags are drawn independently


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 3000))
def test_bags_depend_on_no_order_and_no_split(seed, cut):
    codes, _ = blobs(3000)
    ids = np.array([f"obj-{i}" for i in range(len(codes))])
    strata = Strata(codes[:5], np.full(5, 0.2))
    rates = inclusion(strata.shares, len(ids), 900)
    masks = bag_masks(ids, codes, strata, rates, 3, 11)
    order = np.random.default_rng(seed).permutation(len(ids))
    assert (bag_masks(ids[order], codes[order], strata, rates, 3, 11) == masks[:, order]).all()
    parts = [bag_masks(ids[s], codes[s], strata, rates, 5, 11)[:3] for s in (slice(cut), slice(cut, None))]
    assert (np.concatenate(parts, axis=1) == masks).all()


def test_without_resampling_everything_is_in_the_one_bag():
    codes, _ = blobs(10)
    ids = np.arange(10)
    assert bag_masks(ids, codes, None, None, 1, 0, resample="none").all()
    with pytest.raises(ValueError, match="1 bag, not 8"):
        bag_masks(ids, codes, None, None, 8, 0, resample="none")
    with pytest.raises(ValueError, match="strata and probabilities"):
        bag_masks(ids, codes, None, None, 8, 0)


def test_tiny_pilot_gets_fewer_strata_instead_of_a_crash():
    codes = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    strata = stratify(codes, 32)
    assert len(strata.centres) == 3
    np.testing.assert_allclose(strata.shares, 1 / 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gathered_bag_is_the_same_matrix_in_any_order_of_arrival(seed):
    codes, _ = blobs(500)
    ids = np.array([f"{i}" for i in range(500)])
    order = np.random.default_rng(seed).permutation(500)
    first = codes[canonical_order(ids, 5)]
    assert (codes[order][canonical_order(ids[order], 5)] == first).all()


def test_repeated_id_is_refused_by_name():
    with pytest.raises(ValueError, match="1 repeat, the first is 42"):
        canonical_order(np.array([7, 42, 3, 42]), 0)
