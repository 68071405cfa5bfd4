"""The training set as arrays, and the batches of a step."""
