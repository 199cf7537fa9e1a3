"""The eye: from a case to one class map per class."""
