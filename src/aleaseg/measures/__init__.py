"""Measures: a class map, an image or a label in; a number out, with its direction. No case, no path."""
