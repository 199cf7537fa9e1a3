"""The noise bench: known faults in real data, and which measure finds which."""
