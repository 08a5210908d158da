"""What the client's awaited calls raise."""


class WeirError(Exception):
    """An event is not confirmed. `event_id` is the event's: sent again under it, it counts once."""

    def __init__(self, message: str, *, event_id: str) -> None:
        super().__init__(message)
        self.event_id = event_id


class WeirUnavailable(WeirError):
    """Weir did not confirm in time; `in_doubt` says whether it may have the event all the same."""

    def __init__(self, message: str, *, event_id: str, in_doubt: bool) -> None:
        super().__init__(message, event_id=event_id)
        self.in_doubt = in_doubt


class EventRejected(WeirError):
    """The event cannot be used; `field` (a dotted path, or '') and `detail` say why."""

    def __init__(self, *, field: str, detail: str, event_id: str) -> None:
        super().__init__(f"{field}: {detail}" if field else detail, event_id=event_id)
        self.field = field
        self.detail = detail
