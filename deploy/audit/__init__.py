"""Holds what Weir is made of against known vulnerabilities and versions that were withdrawn."""
