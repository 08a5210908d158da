"""`weir api`: the edge, alone, with settings from the environment."""


def api() -> None:
    """Run the HTTP edge (settings from the environment)."""
    from api.serving import serve
    from deploy.logs import configure_logs, say
    from deploy.preflight.processes import API
    from deploy.preflight.start import started

    configure_logs()
    serve(started(API, say))
