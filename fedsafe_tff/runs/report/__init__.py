"""Progress on the terminal, plots, tables and the HTML report of a run folder."""
