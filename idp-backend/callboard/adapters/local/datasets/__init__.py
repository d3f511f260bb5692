"""Datasets as CSV files in a folder of this machine."""

from callboard.adapters.local.datasets.folder import FolderDatasets

__all__ = ["FolderDatasets"]
