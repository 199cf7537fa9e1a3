"""One training loop, and the network and grid it works on."""
