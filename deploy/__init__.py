"""How Weir runs: the command line, and everything on one machine."""
