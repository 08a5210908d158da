"""`weir api`: the edge, alone, with settings from the environment."""

from schemas.settings import read_settings_or_exit


def api() -> None:
    """Run the HTTP edge (settings from the environment)."""
    import uvicorn

    from api.app import create_app
    from api.settings import ApiSettings
    from deploy.logs import configure_logs

    settings = read_settings_or_exit(ApiSettings)
    configure_logs()
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
