"""Text to hashed tokens: one implementation for a catalogue and for one query online."""
