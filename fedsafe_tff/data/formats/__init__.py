"""One small module per kind of file; `registry` is the only one that others need."""
