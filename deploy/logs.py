"""How processes log: structured lines on standard output, UTC times."""

import logging

import structlog

from schemas.tracing import current


def configure_logs(level: int = logging.INFO) -> None:
    """Sets up structlog, and the libraries that use the standard logging, for this process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    # Retried inside aiokafka; what lasts is reported by the process itself.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _add_trace(
    _: structlog.typing.WrappedLogger, __: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """By its trace a line is found among those of other processes, and beside its spans."""
    if (running := current()) is not None:
        line["trace_id"] = f"{running.trace_id:032x}"
        line["span_id"] = f"{running.span_id:016x}"
    return line


def say(line: str) -> None:
    """Logs what a process has to say before it has begun."""
    structlog.get_logger().warning(line)
