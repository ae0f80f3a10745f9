"""Who attacks and what it holds: the models that an attack goes through, and its victims."""
