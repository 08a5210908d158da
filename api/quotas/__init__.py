"""Quotas at the edge: commands to users' accounts, and the answers of the one who decides."""
