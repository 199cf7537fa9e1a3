"""From a run to pages that open from disk."""
