"""The pure scheduling core: no clock, no I/O, no randomness. Time and identity come in with each command."""
