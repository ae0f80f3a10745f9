"""Limits that flags and the data itself agree on; without imports, so that `--help` is quick."""

# Of the Dirichlet's concentration. Below, NumPy's draw takes ever longer, inside C, where not even
# Ctrl-C ends it; above, all shares are equal to a thousandth, and in the end not finite.
ALPHAS = (1e-4, 1e6)

# Above, what computes with them takes all memory or never ends, mostly inside C.
MOST = 1_000_000  # images of a batch, clients, rounds, epochs, steps of an attack
MOST_IMAGES = 100_000_000
MOST_SIDE = 16_384  # pixels
