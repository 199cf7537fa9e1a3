"""Networks that no library has, as pure torch modules: they know no case, no path, no setting."""
