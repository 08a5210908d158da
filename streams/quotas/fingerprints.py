"""By what a copy of a command is told from another command with the same id."""

from hashlib import blake2b
from typing import Final, assert_never

from schemas.quotas import PlanChanged, QuotaCommand, Refund, Restore, Show, Spend, TopUp

_ENVELOPE: Final = {"command_id", "user_id", "issued_at", "reason"}
_BYTES: Final = 8


def fingerprint(command: QuotaCommand) -> str:
    """Of what the command asks for and why, not of when and by which id: 16 hexadecimal digits.

    '' for a show, which is not remembered. `repeatable` says how a spend is treated, not what it
    is. Nobody but the ledger's keeper says why an account is restored.
    """
    match command:
        case Spend():
            content = f"spend:{command.count}:{command.reason}"
            if command.post is not None:
                content += f":{command.post.model_dump_json()}"
        case Refund():
            content = f"refund:{command.spend_id}:{command.count}:{command.reason}"
        case TopUp():
            content = f"top_up:{command.count}:{command.lasts}:{command.reason}"
        case PlanChanged():
            period = command.period
            # Of the instant: the zone that it is written in may differ between copies.
            ends = period and f"{period.start.timestamp()}:{period.end.timestamp()}"
            content = f"plan_changed:{command.plan}:{ends}:{command.reason}"
        case Restore():
            content = command.model_dump_json(exclude=_ENVELOPE)
        case Show():
            return ""
        case _:
            assert_never(command)
    return blake2b(content.encode(), digest_size=_BYTES).hexdigest()
