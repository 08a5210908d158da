"""`weir api`: the edge, alone, with settings from the environment."""

from schemas.settings import read_settings_or_exit


def api() -> None:
    """Run the HTTP edge (settings from the environment)."""
    from api.serving import serve
    from api.settings import ApiSettings
    from deploy.logs import configure_logs

    settings = read_settings_or_exit(ApiSettings)
    configure_logs()
    serve(settings)
