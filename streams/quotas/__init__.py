"""Quotas: one writer per user decides about each command to the user's account."""
