"""`weir api`: the edge, alone, with settings from the environment."""

import sys

import typer

from schemas.settings import EX_CONFIG, read_settings_or_exit


def api() -> None:
    """Run the HTTP edge (settings from the environment)."""
    from api.measuring.serving import MetricsNotServed
    from api.pages.files import PagesNotBuilt
    from api.serving import serve
    from api.settings import ApiSettings
    from deploy.logs import configure_logs
    from schemas.media import MediaNotUsable
    from schemas.meters import InvalidMeters
    from schemas.plans import InvalidPlans
    from schemas.tracing import tracing

    settings = read_settings_or_exit(ApiSettings)
    configure_logs()
    try:
        with tracing(settings, "weir-api"):
            serve(settings)
    except InvalidPlans as error:
        sys.stderr.write(f"weir api: the plans cannot be used:\n{error}\n")
        raise typer.Exit(EX_CONFIG) from None
    except InvalidMeters as error:
        sys.stderr.write(f"weir api: the meters cannot be used:\n{error}\n")
        raise typer.Exit(EX_CONFIG) from None
    except MetricsNotServed as error:
        sys.stderr.write(f"weir api: {error}\n")
        raise typer.Exit(1) from None
    except (MediaNotUsable, PagesNotBuilt) as error:
        sys.stderr.write(f"weir api: {error}\n")
        raise typer.Exit(EX_CONFIG) from None
