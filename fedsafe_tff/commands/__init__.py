"""What `fedsafe NAME` and `python -m experiments.NAME` do."""
