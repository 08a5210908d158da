"""`weir social`: generates social posts, alone, with settings from the environment."""


def social() -> None:
    """Run the social worker (settings from the environment)."""
    import asyncio

    from deploy.logs import configure_logs
    from schemas.settings import read_settings_or_exit
    from schemas.tracing import tracing
    from streams.social.process import run
    from streams.social.settings import SocialSettings

    settings = read_settings_or_exit(SocialSettings)
    configure_logs()
    # Not uvloop: see deploy.commands.quotas.
    with tracing(settings, "weir-social"):
        code = asyncio.run(run(settings))
    raise SystemExit(code)
