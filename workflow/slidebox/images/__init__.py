"""Images: read what microscopes write, derive OME-Zarr from it in one pass, and prove it.

>>> from slidebox import images
>>> with images.open_image("cells.nd2") as file:         # doctest: +SKIP
...     for series in file.series:
...         print(series.name, series.axes, series.shape, series.pixel_size)
"""

from .convert import Derived, convert, load
from .damage import damage
from .group import group_files
from .hcs import DerivedPlate, PlateField, convert_plate, is_plate, plates, verify_plate
from .ids import derivation_id, image_id
from .label_source import LabelSource
from .label_table import read_table
from .model import Channel, ImageFile, Series, UnreadableImage, Well
from .opening import misshapen, open_image
from .opinion import second_opinion
from .plan import Recipe
from .publication import Busy, partial, publish_folder
from .registry import FORMATS, Format, can_read
from .thumbnail import write_thumbnail
from .verify import verify

__all__ = [
    "FORMATS",
    "Busy",
    "Channel",
    "Derived",
    "DerivedPlate",
    "Format",
    "ImageFile",
    "LabelSource",
    "PlateField",
    "Recipe",
    "Series",
    "UnreadableImage",
    "Well",
    "can_read",
    "convert",
    "convert_plate",
    "damage",
    "derivation_id",
    "group_files",
    "image_id",
    "is_plate",
    "load",
    "misshapen",
    "open_image",
    "partial",
    "plates",
    "publish_folder",
    "read_table",
    "second_opinion",
    "verify",
    "verify_plate",
    "write_thumbnail",
]
