"""The parts of the towers, a module each; each is used where the catalogue and the log have what it needs."""
