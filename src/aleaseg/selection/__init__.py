"""From scores to what is kept and what is dropped, and why."""
