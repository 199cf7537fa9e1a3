"""How the package's own prompted network was taught: a synthetic world, and a training on it alone."""
