"""Numerical half of proxpair: lowered maps, the ledger, convex problems and networks."""
