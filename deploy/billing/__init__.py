"""Stripe's account and Weir's use beside each other: what `weir stripe` sets up and compares."""
