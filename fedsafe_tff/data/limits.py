"""Limits that flags and the data itself agree on; without imports, so that `--help` is quick."""

# Of the Dirichlet's concentration. Below, NumPy's draw takes ever longer, inside C, where not even
# Ctrl-C ends it; above, all shares are equal to a thousandth, and in the end not finite.
ALPHAS = (1e-4, 1e6)
