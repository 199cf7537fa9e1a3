"""From a path to a lazy data set."""
