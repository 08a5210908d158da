"""Billing at the edge: what Stripe tells, what a user has used, and the way to Stripe's pages."""
