"""Billing: what events used is told to Stripe once, and Stripe's subscriptions decide plans."""
