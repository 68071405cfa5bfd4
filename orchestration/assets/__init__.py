"""The steps of the loop, a module per group."""
