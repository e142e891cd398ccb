"""Look at a whole release before any work starts, and list everything that is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from catalogs import headers, storage, synthetic
from catalogs.catalog_files import catalog_files
from catalogs.composed_ids import with_ids
from catalogs.errors import Fault, Refused, grouped
from catalogs.identity import identities, identity, name_of
from catalogs.inspect_columns import resolved_columns, unit_notes
from catalogs.inspect_extents import scale_fault
from catalogs.inspect_footprints import look_at_footprints
from catalogs.inspect_images import image_urls, look_at_images
from catalogs.inspect_masks import look_at_masks
from catalogs.inspect_modalities import look_at_modalities
from catalogs.inspect_noise import look_at_noise
from catalogs.inspect_nulls import with_nulls
from catalogs.inspect_psfs import look_at_psfs, psf_urls
from catalogs.inspect_records import look_at_records
from catalogs.inspect_rows import look_at_rows
from catalogs.inspect_segments import look_at_segments
from catalogs.inspect_tiles import with_tiles
from catalogs.kept_columns import kept_columns
from catalogs.open_table import as_one_release, open_any
from catalogs.partitions import partitions_of
from catalogs.release import Release
from catalogs.shard_table import FETCH, NotATable
from catalogs.slices import Shard

if TYPE_CHECKING:
    from catalogs.modalities import ModalitySource
    from catalogs.psf_source import PSFSource
    from catalogs.shard_table import ShardTable
    from catalogs.survey import Survey


def inspect(
    survey: Survey, folder: str, psf: PSFSource | None = None, modalities: ModalitySource | None = None
) -> Release:
    """Open every shard's header, resolve columns and images, and look at every row if there aren't too many.

    Parameters
    ----------
    survey : Survey
    folder : str
        The config's folder: relative paths are relative to it.
    psf : PSFSource, optional
        Where PSFs come from that vary from object to object, if they are needed.
    modalities : ModalitySource, optional
        Where there is what an encoder is told beside the stamps, if it is told of some.

    Raises
    ------
    Refused
        With every fault that was found: file, column, value and remedy.
    """
    release = inspect_catalogs(survey, folder, psf, modalities)
    columns, image_folder = release.columns, release.folder
    look_at_records(release)
    release, tile_versions = with_tiles(release)
    rows = look_at_rows(release)
    paths = None if rows.paths is None else rows.paths.to_pylist()
    files = [*image_urls(release, paths), *psf_urls(release, rows.psfs)]
    versions = identities(files, survey.identify)  # before the files are opened
    versions |= {url: tile_versions[url] for url in files if url in tile_versions}
    scale, image_notes = look_at_images(release, paths)
    release = replace(release, pixel_scale=scale)
    values, psf_notes = look_at_psfs(release, rows.psfs)
    look_at_masks(release)
    looked = (
        *image_notes,
        *look_at_footprints(release),
        *look_at_noise(release),
        *look_at_segments(release),
        *psf_notes,
    )
    notes = (*unit_notes(survey, columns), *release.notes, *rows.notes, *looked)
    images = {name_of(url, image_folder): version for url, version in versions.items()}
    release = replace(release, selected=rows.selected, notes=notes, images=images, psf_values=values)
    if (fault := scale_fault(release)) is not None:
        raise Refused([fault])
    return release


def inspect_catalogs(
    survey: Survey, folder: str, psf: PSFSource | None = None, modalities: ModalitySource | None = None
) -> Release:
    """Open every shard's header and resolve columns; images are not looked at, nor rows but for a few of vectors.

    Raises
    ------
    Refused
        With every fault that was found.
    """
    tables = _open_shards(survey, folder)
    kept = kept_columns(survey, tables[0])
    columns = resolved_columns(survey, kept, with_ids(tables, survey.id), psf, modalities)
    tables, notes = with_nulls(tables, columns.names)
    modalities, more = look_at_modalities(modalities, tables)
    tables = with_ids(tables, survey.id)
    labels = _labels([table.url for table in tables])
    shards = tuple(
        Shard(i, label, table) for i, (label, table) in enumerate(zip(labels, tables, strict=True))
    )
    image_folder = folder
    if survey.images.layout == "extensions":
        # The RealGalaxy format names files beside its catalog.
        image_folder = str(PurePosixPath(tables[0].url).parent)
    return Release(
        survey,
        image_folder,
        shards,
        columns,
        kept,
        None,
        None,
        (*notes, *more),
        psf=psf,
        modalities=modalities,
    )


def _open_shards(survey: Survey, folder: str) -> list[ShardTable]:
    files = catalog_files(survey.patterns, folder)
    urls, faults = files.urls, files.faults
    partitions = partitions_of(urls)

    def opened(url: str) -> ShardTable | Fault:
        try:
            version = identity(url, survey.identify, fresh=False)  # before the file is opened
            return open_any(url, survey.hdu, version, partitions[url])
        except NotATable as error:
            return Fault(url, str(error), error.remedy)
        except IsADirectoryError:
            return Fault(url, "is a folder", f'Name the files in it: catalogs = "{url}/*.fits"')
        except OSError as error:
            return Fault(url, f"cannot be read ({headers.first_line(error)})", FETCH)

    results = storage.parallel(opened, urls)
    tables = [r for r in results if not isinstance(r, Fault)]
    faults += [r for r in results if isinstance(r, Fault)]
    if not faults:
        faults += files.row_faults({table.url: table for table in tables})
    if not faults and sum(table.rows for table in tables) == 0:
        where_ = storage.absolute(survey.patterns[0], folder)
        problem = f"the release is empty: none of its {len(tables)} shards has a row"
        faults.append(Fault(where_, problem, "Check [survey] catalogs and hdu"))
    faults += synthetic.faults(survey, tables)
    if faults:
        raise Refused(grouped(faults))
    return as_one_release(tables)


def _labels(urls: list[str]) -> list[str]:
    """Paths below the deepest folder that all shards share."""
    folders = [url.split("/")[:-1] for url in urls]
    shared = 0
    while all(len(f) > shared and f[shared] == folders[0][shared] for f in folders):
        shared += 1
    return ["/".join(url.split("/")[shared:]) for url in urls]
