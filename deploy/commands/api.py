"""`weir api`: the edge, alone, with settings from the environment."""

import gc
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
    # What the look before the start has loaded stays; a collector that looks at it again and again
    # only delays requests.
    gc.collect()
    gc.freeze()
    try:
        with tracing(settings, "weir-api"):
            serve(settings)
    except MetricsNotServed as error:
        sys.stderr.write(f"weir api: {error}\n")
        raise SystemExit(1) from None
