"""A training run: steps, epochs, checkpoints, several processes."""
