"""Slidebox: an archive for biological images that anyone can run."""

__version__ = "0.1.0"
