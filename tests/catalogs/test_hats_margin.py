"""With its margin cache, a catalog on the right of a cross-match loses no pair."""

from __future__ import annotations

import logging

import lsdb
import numpy as np
import pyarrow as pa
import pytest
from hats.io.validation import is_valid_collection
from hats.pixel_math import get_margin

from catalogs import hats_catalog, hats_margin, hats_metadata
from catalogs.hats_catalog import INDEX, INDEX_FIELD, Partition
from catalogs.hats_margin import Cover

ARCSEC = 5.0
MOST_ROWS = 250


def around(ra: float, dec: float, n: int, degrees: float, rng) -> np.ndarray:
    """Positions around another one, (n, 3) unit vectors."""
    turn = np.radians([ra, dec])
    east = np.array([-np.sin(turn[0]), np.cos(turn[0]), 0])
    middle = np.array([np.cos(turn[1]) * np.cos(turn[0]), np.cos(turn[1]) * np.sin(turn[0]), np.sin(turn[1])])
    x, y = np.radians(degrees) * rng.uniform(-1, 1, (2, n, 1))
    points = middle + x * east + y * np.cross(middle, east)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def degrees_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ra = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
    return np.where(ra == 360, 0, ra), np.degrees(np.arcsin(points[:, 2]))


def rows_of(points: np.ndarray) -> pa.Table:
    ra, dec = degrees_of(points)
    index = hats_catalog.spatial_index(ra, dec)
    fields = pa.schema([INDEX_FIELD, ("object_id", pa.int64()), ("ra", pa.float64()), ("dec", pa.float64())])
    return pa.table([pa.array(column) for column in (index, np.arange(len(ra)), ra, dec)], schema=fields)


@pytest.fixture(scope="module")
def pairs() -> tuple[pa.Table, pa.Table]:
    """40,000 objects across RA 0, at a pole, and where three of the first twelve pixels meet; and a copy, each less than 5 arcsec away."""
    rng = np.random.default_rng(3)
    corner = np.degrees(np.arcsin(2 / 3))
    points = np.concatenate(
        [around(*place, 10_000, 0.25, rng) for place in ((0, 0), (40, 90), (90, corner), (10, -corner))]
    )
    away = np.cross(points, rng.normal(size=points.shape))
    away *= np.radians(rng.uniform(0, 0.999 * ARCSEC, (len(points), 1)) / 3600) / np.linalg.norm(
        away, axis=1, keepdims=True
    )
    moved = points + away
    return rows_of(points), rows_of(moved / np.linalg.norm(moved, axis=1, keepdims=True))


def partitions_of(rows: pa.Table, most_rows: int) -> list[Partition]:
    pixels = rows[INDEX].to_numpy() >> 2 * (29 - hats_catalog.ORDER)
    return list(hats_catalog.partitions(counts_of(rows), most_rows)) if pixels.size else []


def counts_of(rows: pa.Table) -> dict[int, int]:
    pixels, numbers = np.unique(rows[INDEX].to_numpy() >> 2 * (29 - hats_catalog.ORDER), return_counts=True)
    return dict(zip(pixels.tolist(), numbers.tolist()))


def write(folder: str, rows: pa.Table, most_rows: int, arcsec: float) -> int:
    """Publish rows as a collection; answers how many rows its margin has."""
    found = partitions_of(rows, most_rows)
    cover = Cover.of(found, arcsec) if arcsec else None
    borders = []
    for partition in found:
        own = rows.filter(pa.array(partition.holds(rows[INDEX].to_numpy())))
        hats_catalog.write_partition(f"{folder}/catalog", partition, own)
        if cover is not None:
            borders += hats_margin.set_aside(f"{folder}/borders/{partition.first}.parquet", cover, own)
    hats_metadata.finish(f"{folder}/catalog", "ours", found, rows.num_rows, counts_of(rows))
    if cover is not None:
        targets = sorted({border.target for border in borders}, key=lambda each: each.first)
        for target in targets:
            pieces = [border for border in borders if border.target == target]
            hats_catalog.write_partition(f"{folder}/margin", target, hats_margin.collect(pieces))
        total = sum(border.rows for border in borders)
        hats_metadata.finish_margin(
            f"{folder}/margin",
            "ours_5arcs",
            targets,
            total,
            primary="catalog",
            arcsec=arcsec,
            schema=rows.schema,
        )
    hats_metadata.write_collection(folder, "ours", "catalog", ["margin"] if arcsec else [], {})
    return sum(border.rows for border in borders)


def lost(right: pa.Table, left: pa.Table, arcsec: float) -> int:
    """Pairs of which one is neither in the partition that the other lies in, nor in its margin."""
    cover = Cover.of(partitions_of(right, MOST_ROWS), arcsec or ARCSEC)
    index = right[INDEX].to_numpy()
    own, wanted = cover.holders(index), cover.holders(left[INDEX].to_numpy())
    found = own == wanted
    for number in np.unique(own) if arcsec else ():
        rows = np.flatnonzero(own == number)
        for target, at in hats_margin.borders(cover, index[rows]):
            found[rows[at]] |= wanted[rows[at]] == cover.holders(np.int64(target.first))
    return int((~found).sum())


def test_a_pair_is_lost(pairs):
    right, left = pairs
    assert len(partitions_of(right, MOST_ROWS)) > 100
    assert lost(right, left, ARCSEC) == 0
    assert lost(right, left, 0) > 400  # so that the test can fail


@pytest.mark.parametrize(
    ("arcsec", "target"), [(60, (0, 4)), (60, (10, 0)), (5, (4, 77)), (0.5, (10, 12 * 4**10 - 1))]
)
def test_margin_differs_from_that_of_hats(arcsec, target):
    """An object in the middle of each pixel around a partition, and in the pixels around those."""
    cover = Cover.of([Partition(*target)], arcsec)
    inside = get_margin(*target, cover.order - target[0])
    near = np.unique([*inside, *(cell for each in inside[:200] for cell in get_margin(cover.order, each, 0))])
    index = (near << 2 * (29 - cover.order)) + 5
    outside = cover.holders(index) != cover.holders(np.int64(Partition(*target).first))
    found = set()
    for holder in np.unique(cover.holders(index[outside])):
        cells = near[outside & (cover.holders(index) == holder)]
        for place, at in hats_margin.borders(cover, (cells << 2 * (29 - cover.order)) + 5):
            found |= set(cells[at].tolist()) if place == Partition(*target) else set()
    assert found == set(inside)


def test_catalog_of_one_partition_without_neighbours_cannot_be_opened(tmp_path):
    rows = rows_of(around(45, 5, 20, 0.01, np.random.default_rng(1)))  # in the middle of a large pixel
    assert write(str(tmp_path), rows, 100, ARCSEC) == 0
    catalog = lsdb.open_catalog(tmp_path)
    assert len(catalog.compute(progress_bar=False)) == 20
    assert len(catalog.margin.compute(progress_bar=False)) == 0
    assert is_valid_collection(tmp_path)


@pytest.mark.slow  # the library compiles
def test_pixels_between_partitions_differ_from_those_of_hats(pairs):
    from hats.pixel_tree.negative_tree import compute_negative_tree_pixels
    from hats.pixel_tree.pixel_tree import PixelTree

    found = partitions_of(pairs[0], MOST_ROWS)
    tree = PixelTree.from_healpix([(each.order, each.pixel) for each in found])
    between = {Partition(int(p.order), int(p.pixel)) for p in compute_negative_tree_pixels(tree)}
    cover = Cover.of(found, ARCSEC)
    assert set(cover.pixels) == between | set(found)
    assert len(cover.pixels) == len(between) + len(found)


@pytest.fixture(scope="module")
def written(pairs, tmp_path_factory):
    """Both as collections."""
    folder = tmp_path_factory.mktemp("pairs")
    write(str(folder / "right"), pairs[0], MOST_ROWS, ARCSEC)
    write(str(folder / "left"), pairs[1], MOST_ROWS, 0)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Right catalog does not have a margin")
def test_lsdb_loses_a_pair(pairs, written):
    right, left = pairs
    caught: list[int] = []
    for name in ("right", "right/catalog"):  # with its margin, and without
        catalogs = lsdb.open_catalog(written / "left"), lsdb.open_catalog(written / name)
        assert len(catalogs[1].get_healpix_pixels()) > 100
        matched = catalogs[0].crossmatch(
            catalogs[1],
            radius_arcsec=ARCSEC,
            n_neighbors=5,
            suffixes=("_l", "_r"),
            suffix_method="all_columns",
        )
        found = matched.compute(progress_bar=False)
        own = found[found["object_id_l"] == found["object_id_r"]]
        assert not own["object_id_l"].duplicated().any()
        caught.append(len(own))
    assert caught == [40_000, 40_000 - lost(right, left, 0)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_margin_differs_from_that_of_lsdb(written, caplog):
    catalog = lsdb.open_catalog(written / "right")
    with caplog.at_level(logging.WARNING):
        assert is_valid_collection(written / "right", strict=True), caplog.text
    from lsdb.loaders.dataframe.margin_catalog_generator import MarginCatalogGenerator

    theirs = MarginCatalogGenerator(catalog, margin_threshold=ARCSEC).create_catalog()
    assert set(theirs.get_healpix_pixels()) == set(catalog.margin.get_healpix_pixels())
    assert theirs.hc_structure.catalog_info.total_rows == catalog.margin.hc_structure.catalog_info.total_rows
    of_ours, of_theirs = (
        each.compute(progress_bar=False)["object_id"].value_counts() for each in (catalog.margin, theirs)
    )
    assert (of_ours.sort_index() == of_theirs.sort_index()).all()
