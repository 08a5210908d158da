"""`weir social`: generates social posts, alone, with settings from the environment."""


def social() -> None:
    """Run the social worker (settings from the environment)."""
    import asyncio

    from deploy.logs import configure_logs, say
    from deploy.preflight.processes import SOCIAL
    from deploy.preflight.start import started
    from schemas.tracing import tracing
    from streams.social.process import run

    configure_logs()
    settings = started(SOCIAL, say)
    # Not uvloop: see deploy.commands.quotas.
    with tracing(settings, "weir-social"):
        code = asyncio.run(run(settings))
    raise SystemExit(code)
