"""Tests of quotas at the edge."""
