"""How well the edge does: its requests, its metrics' own server, its heartbeats."""
