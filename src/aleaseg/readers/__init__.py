"""From a path to a lazy data set."""

from aleaseg.readers.geometries import read_headers
from aleaseg.readers.opening import open_dataset

__all__ = ["open_dataset", "read_headers"]
