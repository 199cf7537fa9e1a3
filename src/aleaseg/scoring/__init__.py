"""From cases to records (map), from records to scores (reduce)."""
