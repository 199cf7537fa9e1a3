"""What a model that never saw the case says about it."""
