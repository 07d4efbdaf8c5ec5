"""What a submission must satisfy, as small checks that each yield findings."""

from ..record.codes import CODES
from . import report
from .describe import describe
from .filesets import assign_slices
from .run import Validation, validate
from .settings import Settings

__all__ = ["CODES", "Settings", "Validation", "assign_slices", "describe", "report", "validate"]
