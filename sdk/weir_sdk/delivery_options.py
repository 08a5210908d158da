"""How events wait and travel, checked once."""

from dataclasses import dataclass

from weir_sdk.limits import MAX_EVENTS_PER_REQUEST


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How events wait and travel; times in seconds."""

    max_buffer: int = 10_000
    flush_interval: float = 0.5
    batch_size: int = 500
    shutdown_timeout: float = 5.0
    give_up_after: float = 30.0

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot work."""
        for name in ("max_buffer", "flush_interval", "give_up_after"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0")
        if not 1 <= self.batch_size <= MAX_EVENTS_PER_REQUEST:
            raise ValueError(f"batch_size must be 1 to {MAX_EVENTS_PER_REQUEST}")
        if self.shutdown_timeout < 0:
            raise ValueError("shutdown_timeout must not be negative")
