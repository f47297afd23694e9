"""A second, separate reader of verdicts: it re-checks certificates and shares no code with the prover.

Modules, from the bottom up: `terms` (formulas and their reader), `intervals` (outward-rounded
evaluation by mpmath), `forms` (identities over the rationals by Fractions), `limits`, `rules` (the
proof rules for sign lemmas), `audit` (the decision of docs/mathematics.md, section 3, obligation by obligation).
Nothing here imports from the rest of theory/, sympy or Arb.
"""
