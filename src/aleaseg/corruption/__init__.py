"""Known faults, put into arrays in memory: what a measure of doubt is tested with."""
