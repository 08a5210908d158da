"""Free ports for every part that `weir up` starts, by their settings."""

from deploy.local.ports import free_port
from deploy.local.settings import LocalSettings


def free_ports() -> dict[str, str]:
    """The setting of each part's port → a free one, as the environment holds it."""
    names = [field.alias or "" for field in LocalSettings.model_fields.values()]
    found: dict[str, str] = {}
    for name in names:
        if name.endswith("_PORT"):
            found[name] = str(free_port(frozenset(map(int, found.values()))))
    return found
