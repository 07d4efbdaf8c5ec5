"""What a study is (REMBI and MIFA), its forms, and curation on top.

``read(folder)`` gives the same model from study.yaml, RO-Crate or PageTab.
"""

from . import pagetab, pagetab_tsv, rocrate, study_yaml
from .file_list import FileList, Row
from .init import InitRefused, init
from .model import ANNOTATION_TYPES, REMBI_VERSION, SCHEMA_VERSION, Record
from .positions import Positions
from .reading import NoSubmission, Reading, read
from .study_yaml import nearest

__all__ = [
    "ANNOTATION_TYPES",
    "REMBI_VERSION",
    "SCHEMA_VERSION",
    "FileList",
    "InitRefused",
    "NoSubmission",
    "Positions",
    "Reading",
    "Record",
    "Row",
    "init",
    "nearest",
    "pagetab",
    "pagetab_tsv",
    "read",
    "rocrate",
    "study_yaml",
]
