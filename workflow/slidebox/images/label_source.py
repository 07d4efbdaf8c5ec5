"""Label images that are put under an image: where they are, and whether they fit it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .model import ImageFile, Series, UnreadableImage
from .opening import open_image


@dataclass(slots=True)
class LabelSource:
    """A label image to put under an image: its name there, its file, its series in it.

    ``known`` is what is told of its objects (see ``label_table``): by value, a colour as ``rgba``
    and any other property.
    """

    name: str
    path: Path
    series: int = 0
    known: dict[int, dict[str, Any]] = field(default_factory=dict)

    def refusal(self, error: UnreadableImage) -> dict[str, str]:
        """What is said of a label image that is left out."""
        return {"name": self.name, "file": self.path.name, "reason": error.reason}


def open_labels(
    sources: list[LabelSource], image: Series
) -> tuple[list[tuple[LabelSource, ImageFile | None, Series]], list[dict[str, str]]]:
    """Label images that fit, those of the source file first; and what is wrong with the others."""
    opened: list[tuple[LabelSource, ImageFile | None, Series]] = []
    left_out = []
    taken = {source.name for source in sources}
    for label in image.labels:
        name, number = label.name, 1
        while name in taken:
            number += 1
            name = f"{label.name}-{number}"
        taken.add(name)
        source = LabelSource(name, Path(label.series.file or image.file or ""), known=label.known)
        try:
            _fit_label(label.series, image)
            opened.append((source, None, label.series))
        except UnreadableImage as error:
            left_out.append(source.refusal(error))
    for source in sources:
        file = None
        try:
            file = open_image(source.path)
            if not 0 <= source.series < len(file.series):
                raise UnreadableImage(f"there is no series {source.series}", file=str(source.path))
            one = file.series[source.series]
            _fit_label(one, image)
            opened.append((source, file, one))
        except UnreadableImage as error:
            if file is not None:
                file.close()
            left_out.append(source.refusal(error))
    return opened, left_out


def _fit_label(one: Series, image: Series) -> None:
    """A label image has one channel of whole numbers and the image's size; raises
    UnreadableImage.
    """
    if one.dtype.kind not in "bui":
        raise UnreadableImage(
            f"a label image holds whole numbers, this one holds {one.dtype}", file=one.file
        )
    if one.size("c") > 1:
        raise UnreadableImage(
            f"a label image has one channel, this one has {one.size('c')}", file=one.file
        )
    if one.size("z") > 1 and image.size("z") == 1 and image.size("t") == one.size("z"):
        # a stack that doesn't say what it is: the image knows
        reader = one.reader
        one.reader = lambda t, c, z, y0, y1: reader(z, c, t, y0, y1)
        one.axes = one.axes.replace("z", "t")
        one.time_step = image.time_step
        one.pixel_size.pop("z", None)
    for axis in "tzyx":
        if one.size(axis) != image.size(axis) and not (axis in "tz" and one.size(axis) == 1):
            raise UnreadableImage(
                f"a label image of {axis}={one.size(axis)} doesn't fit an image of "
                f"{axis}={image.size(axis)}",
                file=one.file,
            )
    one.pixel_size = {a: image.pixel_size.get(a) or one.pixel_size.get(a) for a in one.pixel_size}
    one.time_step = image.time_step if "t" in one.axes else None
    if one.dtype.kind == "b":
        reader_b = one.reader
        one.reader = lambda t, c, z, y0, y1: reader_b(t, c, z, y0, y1).view(np.uint8)
        one.dtype = np.dtype(np.uint8)
