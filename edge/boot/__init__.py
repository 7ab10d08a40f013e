"""What lies on a board outside the two slots of the edge: copied once, never updated, so it must never need to be."""
