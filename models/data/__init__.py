"""Training data, and the benchmark archive that is composed from it."""
