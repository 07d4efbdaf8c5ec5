"""Which reader reads what: one line a format, one module a family. The table in the docs is made
here.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import sequence
from .model import ImageFile, UnreadableImage


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: how it is recognised and which module of ``readers`` opens it.

    ``magic`` are (offset, bytes) of which one must be there; a format without magic goes by name.
    """

    name: str
    title: str
    extensions: tuple[str, ...]
    module: str
    package: str
    magic: tuple[tuple[int, bytes], ...] = ()
    series: str = "one"
    plates: bool = False
    metadata: str = ""
    tried: str = ""


TIFF = ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+"))
OLE = ((0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),)
HDF5 = tuple((n, b"\x89HDF\r\n\x1a\n") for n in (0, 512, 1024, 2048))

# The first that fits by extension and magic wins; then the first that fits by magic alone.
FORMATS: tuple[Format, ...] = (
    Format(
        "ome-tiff",
        "OME-TIFF (one or many files)",
        (".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf"),
        "tiff",
        "tifffile",
        TIFF,
        "many",
        False,
        "OME-XML: sizes, time, channels, wavelengths, positions",
        "4D-series.ome.tiff",
    ),
    Format(
        "svs",
        "Aperio SVS",
        (".svs",),
        "tiff",
        "tifffile",
        TIFF,
        "one; label and macro apart",
        False,
        "pixel size, magnification",
        "CMU-1-Small-Region.svs",
    ),
    Format(
        "ndpi",
        "Hamamatsu NDPI",
        (".ndpi",),
        "tiff",
        "tifffile",
        TIFF,
        "one; macro apart",
        False,
        "pixel size, focus",
        "test3-DAPI-2-(387).ndpi",
    ),
    Format(
        "scn", "Leica SCN", (".scn",), "tiff", "tifffile", TIFF, "many", False, "pixel size", ""
    ),
    Format(
        "qptiff",
        "PerkinElmer/Akoya QPTIFF",
        (".qptiff",),
        "tiff",
        "tifffile",
        TIFF,
        "one; label and macro apart",
        False,
        "pixel size, channel names and colours",
        "",
    ),
    Format(
        "lsm",
        "Zeiss LSM",
        (".lsm",),
        "tiff",
        "tifffile",
        TIFF,
        "one",
        False,
        "sizes, time, channel names and colours, wavelengths",
        "032113-18.lsm",
    ),
    Format(
        "stk",
        "MetaMorph STK",
        (".stk",),
        "tiff",
        "tifffile",
        TIFF,
        "one",
        False,
        "sizes, wavelengths, z distances",
        "",
    ),
    Format(
        "czi",
        "Zeiss CZI",
        (".czi",),
        "czi",
        "czifile",
        ((0, b"ZISRAWFILE"),),
        "scenes; mosaics joined",
        False,
        "sizes, time, channels, wavelengths, positions",
        "xyz__multiple_images.czi",
    ),
    Format(
        "nd2",
        "Nikon ND2",
        (".nd2",),
        "nd2",
        "nd2",
        ((0, b"\xda\xce\xbe\x0a"), (0, b"\x00\x00\x00\x0cjP  ")),
        "positions",
        False,
        "sizes, time, channels, wavelengths, positions",
        "example-multichannel.nd2",
    ),
    Format(
        "lif",
        "Leica LIF",
        (".lif",),
        "lif",
        "liffile",
        ((0, b"\x70\x00\x00\x00"),),
        "many; tiles of a scan apart",
        False,
        "sizes, time, channels, positions",
        "testdata_2channel_xz.lif",
    ),
    Format(
        "lof",
        "Leica LOF",
        (".lof",),
        "lif",
        "liffile",
        ((0, b"\x70\x00\x00\x00"),),
        "one",
        False,
        "as LIF",
        "",
    ),
    Format(
        "xlef", "Leica XLEF project", (".xlef",), "lif", "liffile", (), "many", False, "as LIF", ""
    ),
    Format(
        "oib",
        "Olympus OIB",
        (".oib",),
        "olympus",
        "oiffile",
        OLE,
        "one",
        False,
        "sizes, channels",
        "",
    ),
    Format(
        "oif",
        "Olympus OIF",
        (".oif",),
        "olympus",
        "oiffile",
        (),
        "one",
        False,
        "sizes, channels",
        "",
    ),
    Format(
        "oir",
        "Olympus OIR",
        (".oir",),
        "olympus",
        "oirfile",
        ((0, b"OLYMPUSRAWFORMAT"),),
        "one",
        False,
        "sizes, time, channels",
        "",
    ),
    Format(
        "dv",
        "DeltaVision DV",
        (".dv", ".r3d", ".d3d"),
        "dv",
        "mrc",
        ((96, b"\xa0\xc0"), (96, b"\xc0\xa0")),
        "one",
        False,
        "sizes, time, wavelengths",
        "toxo.dv",
    ),
    Format(
        "mrc",
        "MRC2014/CCP4 map, also gzip and bzip2",
        (
            ".mrc",
            ".mrcs",
            ".map",
            ".ccp4",
            ".rec",
            ".ali",
            ".st",
            ".mrc.gz",
            ".map.gz",
            ".mrcs.gz",
            ".mrc.bz2",
            ".map.bz2",
        ),
        "mrc",
        "mrcfile",
        (),
        "one; volume stacks as time",
        False,
        "voxel size",
        "EMD-3197.map",
    ),
    Format(
        "dm3",
        "Gatan DM3",
        (".dm3",),
        "dm",
        "ncempy",
        ((0, b"\0\0\0\3"),),
        "one",
        False,
        "pixel size",
        "",
    ),
    Format(
        "dm4",
        "Gatan DM4",
        (".dm4",),
        "dm",
        "ncempy",
        ((0, b"\0\0\0\4"),),
        "one",
        False,
        "pixel size",
        "",
    ),
    Format(
        "ims",
        "Imaris IMS",
        (".ims",),
        "hdf5",
        "h5py",
        HDF5,
        "one",
        False,
        "sizes, time, channel names and colours, wavelengths",
        "",
    ),
    Format(
        "hdf5",
        "HDF5 arrays",
        (".h5", ".hdf5", ".hdf", ".he5", ".nxs", ".nx"),
        "hdf5",
        "h5py",
        HDF5,
        "each dataset",
        False,
        "element size, axis tags, NeXus",
        "",
    ),
    Format(
        "vsi",
        "Olympus/Evident VSI with its ETS folder",
        (".vsi",),
        "micro",
        "micro-reader",
        (),
        "many; macro apart",
        False,
        "sizes, channels, colours, wavelengths",
        "vsi-ets-test-jpg2k.vsi",
    ),
    Format(
        "ndpis",
        "Hamamatsu NDPIS (channels in files)",
        (".ndpis",),
        "micro",
        "micro-reader",
        (),
        "one",
        False,
        "pixel size, channels",
        "",
    ),
    Format(
        "ics",
        "Image Cytometry Standard",
        (".ics", ".ids"),
        "micro",
        "micro-reader",
        (),
        "one",
        False,
        "sizes, channels",
        "",
    ),
    Format(
        "harmony",
        "Operetta/Opera Phenix (Index.idx.xml)",
        ("index.idx.xml", "index.xml"),
        "micro",
        "micro-reader",
        (),
        "each field",
        True,
        "sizes, time, channels, wavelengths, positions",
        "",
    ),
    Format(
        "cellvoyager",
        "Yokogawa CellVoyager (MeasurementData.mlf)",
        (".mlf",),
        "micro",
        "micro-reader",
        (),
        "each field",
        True,
        "sizes, time, channels, positions",
        "",
    ),
    Format(
        "metaxpress",
        "ImageXpress (HTD)",
        (".htd",),
        "micro",
        "micro-reader",
        (),
        "each site",
        True,
        "sizes, time, channels",
        "",
    ),
    Format(
        "incell",
        "IN Cell Analyzer (xdce)",
        (".xdce",),
        "micro",
        "micro-reader",
        (),
        "each field",
        True,
        "sizes, time, channels",
        "",
    ),
    Format(
        "ome-companion",
        "OME-TIFF with a companion file",
        (".companion.ome",),
        "micro",
        "micro-reader",
        (),
        "many",
        False,
        "OME-XML: sizes, time, channels, positions",
        "",
    ),
    Format(
        "nifti",
        "NIfTI",
        (".nii", ".nii.gz"),
        "readout",
        "openreadout",
        (),
        "one",
        False,
        "voxel size",
        "",
    ),
    Format(
        "ser",
        "TIA/FEI SER",
        (".ser",),
        "readout",
        "openreadout",
        (),
        "one",
        False,
        "pixel size",
        "",
    ),
    Format(
        "emd",
        "EMD (Velox, NCEM)",
        (".emd",),
        "readout",
        "openreadout",
        HDF5,
        "many",
        False,
        "pixel size",
        "",
    ),
    Format(
        "zvi",
        "Zeiss ZVI",
        (".zvi",),
        "readout",
        "openreadout",
        OLE,
        "one",
        False,
        "sizes, channels",
        "",
    ),
    Format(
        "mirax",
        "3DHISTECH MIRAX",
        (".mrxs",),
        "readout",
        "openreadout",
        (),
        "one",
        False,
        "pixel size",
        "",
    ),
    Format(
        "isyntax",
        "Philips iSyntax",
        (".isyntax",),
        "readout",
        "openreadout",
        (),
        "one",
        False,
        "pixel size",
        "",
    ),
    Format(
        "vms",
        "Hamamatsu VMS",
        (".vms",),
        "readout",
        "openreadout",
        (),
        "one",
        False,
        "pixel size",
        "",
    ),
    Format(
        "dcimg",
        "Hamamatsu DCIMG",
        (".dcimg",),
        "readout",
        "openreadout",
        ((0, b"DCIMG"),),
        "one",
        False,
        "",
        "",
    ),
    Format(
        "ome-zarr",
        "OME-Zarr 0.4 and 0.5 folders",
        (".zarr", ".ngff"),
        "omezarr",
        "zarr",
        (),
        "each image of a container or plate",
        True,
        "sizes, time, channel names and colours",
        "20200812-CardiomyocyteDifferentiation14-Cycle1_B_03_mip.zarr",
    ),
    Format(
        "bioformats",
        "Whatever else Bio-Formats reads (needs Java)",
        (
            ".sld",
            ".sldy",
            ".ipw",
            ".lei",
            ".liff",
            ".pic",
            ".mvd2",
            ".afi",
            ".bif",
            ".vws",
            ".xv",
            ".sif",
            ".spe",
            ".fli",
            ".ipm",
            ".seq",
            ".obf",
            ".msr",
            ".hed",
            ".nrrd",
            ".nhdr",
            ".dcm",
            ".fits",
            ".flex",
            ".mea",
            ".res",
            ".c01",
            ".pcoraw",
            ".vff",
            ".wat",
            ".tnb",
            ".nd",
            ".zfp",
            ".zfr",
            ".i2i",
            ".cif",
            ".al3d",
            ".top",
        ),
        "bioformats",
        "python-bioformats",
        (),
        "many",
        False,
        "what Bio-Formats gives as OME-XML",
        "",
    ),
    Format(
        "sequence",
        "One file a plane, by names (T<>_C<>_Z<>, ImageXpress)",
        (),
        "sequence",
        "tifffile",
        (),
        "one a site",
        True,
        "as the single files; channels from each",
        "1well-3C-2S-Zmix-T",
    ),
    Format(
        "png",
        "PNG",
        (".png",),
        "raster",
        "imagecodecs",
        ((0, b"\x89PNG\r\n\x1a\n"),),
        "one",
        False,
        "pixel size",
        "DSB 2018",
    ),
    Format(
        "jpeg",
        "JPEG",
        (".jpg", ".jpeg", ".jpe"),
        "raster",
        "imagecodecs",
        ((0, b"\xff\xd8\xff"),),
        "one",
        False,
        "",
        "",
    ),
    Format(
        "jpeg2000",
        "JPEG 2000",
        (".jp2", ".j2k", ".jpx"),
        "raster",
        "imagecodecs",
        ((0, b"\0\0\0\x0cjP  \r\n\x87\n"), (0, b"\xff\x4f\xff\x51")),
        "one",
        False,
        "",
        "",
    ),
    Format("bmp", "BMP", (".bmp",), "raster", "imageio", ((0, b"BM"),), "one", False, "", ""),
    Format(
        "gif",
        "GIF",
        (".gif",),
        "raster",
        "imageio",
        ((0, b"GIF8"),),
        "frames as time",
        False,
        "frame time",
        "",
    ),
    Format(
        "webp", "WebP", (".webp",), "raster", "imagecodecs", ((8, b"WEBP"),), "one", False, "", ""
    ),
    Format(
        "netpbm",
        "PBM, PGM, PPM",
        (".pgm", ".ppm", ".pbm", ".pnm"),
        "raster",
        "imageio",
        ((0, b"P1"), (0, b"P2"), (0, b"P3"), (0, b"P4"), (0, b"P5"), (0, b"P6")),
        "one",
        False,
        "",
        "",
    ),
    Format(
        "tiff",
        "TIFF, BigTIFF and ImageJ hyperstacks",
        (".tif", ".tiff", ".tf8", ".btf"),
        "tiff",
        "tifffile",
        TIFF,
        "one a shape",
        False,
        "ImageJ: sizes, time, display range; resolution tags",
        "xyz_8bit__mitotic_plate_calibrated.tif",
    ),
)


def can_read(path: str | os.PathLike) -> str | None:
    """The format's name if this file looks like one that can be read, else None. Parses nothing.

    The first bytes are looked at where the file exists, so that a table called ``x.map`` or an HTML
    page called ``x.tif`` isn't taken for an image.
    """
    path = Path(path)
    found = _by_name(path.name)
    head = _head(path)
    if head is None:
        return found[0].name if found else None
    for fmt in found:
        if not fmt.magic or _has(head, fmt.magic):
            return fmt.name if fmt.name != "tiff" else _tiff_kind(path, fmt.name)
    if found:  # named like an image, but isn't one: leave it to open_image to say why
        others = [f for f in FORMATS if f.magic and _has(head, f.magic)]
        return others[0].name if others and others[0].module == found[0].module else found[0].name
    return None


def open_image(path: str | os.PathLike) -> ImageFile:
    """Open an image file: axes, shapes, sizes, channels of every series, without reading pixels.

    Raises
    ------
    UnreadableImage : with the reason, when the format isn't known or the file is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise UnreadableImage("there is no such file", file=str(path))
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableImage("the file is empty", file=str(path))
    members = _sequence(path)
    if members:
        from .readers.sequence import open_members

        image = open_members(path, members, _open_one)
        image.series[0].file = str(path)
        return image
    return _open_one(path)


def _sequence(path: Path) -> dict[Path, tuple[int, int, int]] | None:
    """The files that make one image with this one, if it is the first of them."""
    if not path.is_file():
        return None
    base = path.parent
    if not sequence.looks_like(path.as_posix()):
        return None
    while re.fullmatch(r"(TimePoint|ZStep)_\d+", base.name, re.I):
        base = base.parent
    names = [p.relative_to(base).as_posix() for p in _near(base)]
    group = sequence.find(names).get(path.relative_to(base).as_posix())
    return {base / name: index for name, index in group.items()} if group else None


def _near(base: Path) -> list[Path]:
    """Files of a folder and of its TimePoint and ZStep folders."""
    found = []
    for entry in base.iterdir():
        if entry.is_file():
            found.append(entry)
        elif entry.is_dir() and re.fullmatch(r"(TimePoint|ZStep)_\d+", entry.name, re.I):
            found += _near(entry)
    return found


def _open_one(path: Path) -> ImageFile:
    name = can_read(path)
    if name is None:
        raise UnreadableImage(
            f"no reader knows the format of {path.suffix or 'a file without extension'!r}",
            file=str(path),
        )
    fmt = format_named(name)
    extra = "bioformats" if fmt.module == "bioformats" else "readers"
    try:
        module = importlib.import_module(f".readers.{fmt.module}", __package__)
        opener: Callable[[Path, str], ImageFile] = module.open_file
    except ImportError as error:
        raise UnreadableImage(
            f"reading {fmt.title} needs {fmt.package}: pip install 'slidebox[{extra}]' ({error})",
            file=str(path),
        ) from error
    try:
        image = opener(path, fmt.name)
    except UnreadableImage as error:
        error.file = error.file or str(path)
        raise
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise UnreadableImage(f"not a readable {fmt.title} ({said})", file=str(path)) from error
    if not image.series:
        image.close()
        raise UnreadableImage("the file holds no image", file=str(path))
    for series in image.series:
        series.file = series.file or str(path)
    return image


def format_named(name: str) -> Format:
    return next(f for f in FORMATS if f.name == name)


def version(package: str) -> str:
    """Version of an installed distribution, or ``?``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _by_name(name: str) -> list[Format]:
    name = name.lower()
    found = [
        (max(len(e) for e in f.extensions if name.endswith(e)), f)
        for f in FORMATS
        if name.endswith(f.extensions)
    ]
    return [f for _, f in sorted(found, key=lambda item: -item[0])]


def _head(path: Path) -> bytes | None:
    try:
        with path.open("rb") as handle:
            return handle.read(4096)
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as error:
        raise UnreadableImage(f"can't be opened: {error}", file=str(path)) from error


def _has(head: bytes, magic: tuple[tuple[int, bytes], ...]) -> bool:
    return any(head[n : n + len(m)] == m for n, m in magic)


def _tiff_kind(path: Path, name: str) -> str:
    return name


# ---------------------------------------------------------------- the table in the docs

BEGIN, END = "<!-- formats: made by slidebox.images.registry -->", "<!-- end of formats -->"


def table() -> str:
    """The formats as a Markdown table."""
    lines = [
        "| Format | Names | Reader | Images in a file | Plates | Metadata read | Tried on |",
        "|---|---|---|---|---|---|---|",
    ]
    for f in FORMATS:
        names = " ".join(f"`{e}`" for e in f.extensions) or "by pattern"
        plates, tried = ("yes" if f.plates else ""), (f.tried and f"`{f.tried}`")
        lines.append(
            "| "
            + " | ".join((f.title, names, f.package, f.series, plates, f.metadata, tried))
            + " |"
        )
    return "\n".join(lines)


def write_table(page: Path) -> None:
    """Put the table into a page, between its two marks."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    import sys

    write_table(Path(sys.argv[1]))
