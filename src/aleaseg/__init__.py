"""aleaseg: find the doubtful scans and masks of a medical segmentation data set."""

__version__ = "0.1.0"
