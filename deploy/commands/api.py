"""`weir api`: the edge, alone, with settings from the environment."""

import sys


def api() -> None:
    """Run the HTTP edge (settings from the environment)."""
    from api.measuring.serving import MetricsNotServed
    from api.serving import serve
    from deploy.logs import configure_logs, say
    from deploy.preflight.processes import API
    from deploy.preflight.start import started
    from schemas.tracing import tracing

    configure_logs()
    settings = started(API, say)
    try:
        with tracing(settings, "weir-api"):
            serve(settings)
    except MetricsNotServed as error:
        sys.stderr.write(f"weir api: {error}\n")
        raise SystemExit(1) from None
