"""One round in Flower and in pfl-research, each in an environment of its own, against ours."""
