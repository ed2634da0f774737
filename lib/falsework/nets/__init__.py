"""Networks: one transformer trunk, and stems and heads around it. Nothing here knows a loss, a sampler or a file."""
