"""Names of plans, as they are shown and pinned."""

LOOP = "loop"
COMPILED = "compiled"
PLANS = (LOOP, "vmap", "fold", "spread", "thinned", COMPILED)

LOW = "-bfloat16"
"""Ends the name of a plan that runs in lower precision."""
