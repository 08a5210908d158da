"""Weir in your service: middleware that records page views, and a client that sends events."""

from weir_sdk.client import WeirClient
from weir_sdk.counts import Counts
from weir_sdk.errors import EventRejected, WeirError, WeirUnavailable
from weir_sdk.http_transport import HttpTransport
from weir_sdk.messages import Message
from weir_sdk.middleware import AnalyticsMiddleware
from weir_sdk.transport import Outcome, Refused, Rejection, Transport, Unavailable

__all__ = [
    "AnalyticsMiddleware",
    "Counts",
    "EventRejected",
    "HttpTransport",
    "Message",
    "Outcome",
    "Refused",
    "Rejection",
    "Transport",
    "Unavailable",
    "WeirClient",
    "WeirError",
    "WeirUnavailable",
]
