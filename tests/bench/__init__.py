"""Measures Motet on this machine: `scripts/bench`. It measures and does not judge: it is not a test."""
