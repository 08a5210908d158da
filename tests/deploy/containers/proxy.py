"""The real nginx on the configuration of the image, with ports and folders of a test's own."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.programs import required_program

CONFIGURATION: Final = Path(__file__).parents[3] / "deploy" / "containers" / "nginx"


def servers_conf(environment: Mapping[str, str]) -> str:
    """The template as the image's start fills it in; this machine's resolver asks nobody."""
    given = {"NGINX_LOCAL_RESOLVERS": "127.0.0.1", **environment}
    text = (CONFIGURATION / "servers.conf.template").read_text()
    return re.sub(r"\$\{(\w+)\}", lambda match: given[match[1]], text)


def nginx_conf(port: int) -> str:
    """The configuration, listening on a port of this machine alone."""
    text = (CONFIGURATION / "nginx.conf").read_text()
    assert text.count("listen 8080 ") == 1
    return text.replace("listen 8080 ", f"listen 127.0.0.1:{port} ")


def proxy_command(folder: Path, port: int, weir_url: str, trusted: str) -> list[str]:
    """What runs nginx in the folder, which has the assets in `weir/assets`."""
    folder.mkdir(exist_ok=True)
    (folder / "servers.conf").write_text(
        servers_conf({"WEIR_URL": weir_url, "TRUSTED_PROXY": trusted})
    )
    text = nginx_conf(port)
    for path, place in {"/tmp/": f"{folder}/", "/usr/share/weir": f"{folder}/weir"}.items():  # noqa: S108
        assert path in text
        text = text.replace(path, place)
    (folder / "guards.conf").write_text((CONFIGURATION / "guards.conf").read_text())
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    # Started by root its workers would be another user's, who may not read a test's folder.
    user = " user root;" if os.geteuid() == 0 else ""
    return [
        required_program("nginx"), "-p", str(folder), "-c", str(configuration),
        "-e", "stderr", "-g", f"daemon off;{user}",
    ]  # fmt: skip
