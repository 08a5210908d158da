"""How Weir runs: the command line, one machine, containers, Kubernetes, and what watches it."""
