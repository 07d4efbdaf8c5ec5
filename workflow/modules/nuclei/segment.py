"""Nuclei of many images, read by URL, as a table: the worked example of docs/computing.md.

Needs zarr, dask, scikit-image, pandas with pyarrow, and aiohttp (for http) or s3fs (for s3).
"""

import dask.array as da
import numpy as np
import pandas as pd
import zarr
from scipy import ndimage
from skimage import feature, filters, measure, segmentation

COLUMNS = ["accession", "image", "t", "label", "y", "x", "area", "area_um2", "mean_intensity"]


def find_images(catalogue: str, query: str | None = None) -> pd.DataFrame:
    """Images that can be opened, a row each.

    Parameters
    ----------
    catalogue : root of a published archive: ``https://...``, ``s3://...`` or a folder.
    query : in pandas' words, over the columns of ``catalogue/images.parquet``:
        ``accession == 'SB-1' and size_c > 1``.
    """
    table = pd.read_parquet(f"{catalogue.rstrip('/')}/catalogue/images.parquet")
    table = table[table["zarr"].notna()]
    return table.query(query) if query else table


def open_level(url: str, level: int = 0) -> tuple[da.Array, list[str]]:
    """A resolution of an OME-Zarr image, lazily, and its axes (of ``tczyx``)."""
    group = zarr.open_group(url, mode="r")
    attributes = dict(group.attrs)
    multiscale = attributes.get("ome", attributes)["multiscales"][0]
    path = multiscale["datasets"][level]["path"]
    return da.from_zarr(group[path]), [axis["name"] for axis in multiscale["axes"]]


def planes(data: da.Array, axes: list[str], channel: int = 0) -> da.Array:
    """(t, y, x): one channel, the brightest of all z, every time point."""
    if "c" in axes:
        data = data.take(channel, axis=axes.index("c"))
        axes = [axis for axis in axes if axis != "c"]
    if "z" in axes:
        data = data.max(axis=axes.index("z"))
        axes = [axis for axis in axes if axis != "z"]
    return data if "t" in axes else data[None]


def segment(plane: np.ndarray, diameter: float = 12) -> np.ndarray:
    """Label image of bright round things about ``diameter`` pixels wide: Otsu, then a watershed."""
    smooth = filters.gaussian(plane, diameter / 8, preserve_range=True)
    if smooth.max() == smooth.min():
        return np.zeros(plane.shape, np.int32)
    mask = ndimage.binary_opening(smooth > filters.threshold_otsu(smooth))
    distance = filters.gaussian(ndimage.distance_transform_edt(mask), diameter / 8)
    seeds = feature.peak_local_max(
        distance, min_distance=max(1, int(diameter / 3)), labels=measure.label(mask)
    )
    markers = np.zeros(plane.shape, np.int32)
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    return segmentation.watershed(-distance, markers, mask=mask)


def measure_image(catalogue: str, image, channel: int = 0, diameter: float = 12) -> pd.DataFrame:
    """Nuclei of one image, a row each; one plane is in memory at a time."""
    data, axes = open_level(f"{catalogue.rstrip('/')}/{image.zarr}")
    pixel = image.pixel_size_x_um * image.pixel_size_y_um
    rows = []
    for t, plane in enumerate(planes(data, axes, channel)):
        plane = np.asarray(plane)
        for one in measure.regionprops(segment(plane, diameter), intensity_image=plane):
            y, x = one.centroid
            area = (float(one.area), float(one.area) * pixel)
            rows.append(
                (image.accession, image.id, t, one.label, y, x, *area, float(one.mean_intensity))
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def measure_all(catalogue: str, images: pd.DataFrame, **options) -> pd.DataFrame:
    """Nuclei of many images in one table."""
    found = [measure_image(catalogue, image, **options) for image in images.itertuples()]
    return pd.concat([pd.DataFrame(columns=COLUMNS), *found], ignore_index=True)


if "snakemake" in globals():
    options = snakemake.params  # noqa: F821
    chosen = find_images(options.catalogue, options.query)
    share = chosen.iloc[int(snakemake.wildcards.part) - 1 :: options.parts]  # noqa: F821
    table = measure_all(
        options.catalogue, share, channel=options.channel, diameter=options.diameter
    )
    table.to_csv(snakemake.output[0], sep="\t", index=False)  # noqa: F821
