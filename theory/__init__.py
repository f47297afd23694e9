"""Symbolic half of proxpair: exact maps, the decision, synthesis, and the catalogue."""
