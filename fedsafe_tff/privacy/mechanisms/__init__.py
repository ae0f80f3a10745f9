"""Ways to be private, one small builder each, and the registry that names them."""
