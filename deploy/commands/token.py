"""`weir token`: a token for trying out, signed with the secret that Weir checks tokens with."""

import re
import sys
import time
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from api.identity.principal import Role
from schemas.limits import MAX_NAME_CHARACTERS
from schemas.settings import EX_CONFIG, read_settings_or_exit

if TYPE_CHECKING:
    from api.identity.settings import TokenSettings

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST: Final = 365 * _UNITS["d"]


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,8})([smhd])", text, re.ASCII)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST:
        raise typer.BadParameter("must be such as 90s, 30m, 12h or 7d, 365d at most")
    return seconds


def _user(text: str) -> str:
    if not 0 < len(text) <= MAX_NAME_CHARACTERS or not text.isprintable():
        raise typer.BadParameter(
            f"must be 1 to {MAX_NAME_CHARACTERS} characters, and none that cannot be seen"
        )
    return text


def token(
    user: Annotated[
        str,
        typer.Option(
            "--user", metavar="ID", callback=_user, help="Who asks with it.", show_default=False
        ),
    ],
    role: Annotated[
        list[Role] | None,
        typer.Option(help="What they may do; may be given several times. Else: user."),
    ] = None,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long it is valid: 90s, 30m, 12h, 7d.")
    ] = "12h",
) -> None:
    """Print a token for trying out.

    It is signed with WEIR_JWT_SECRET or, where that is not set, with the secret that `weir up`
    made in WEIR_DATA_DIR (.weir). Anybody who has it is that user until it expires.

    \b
    Ends with
      0    the token is printed
      78   there is no secret to sign with
    """
    import jwt

    seconds = _seconds(expires)
    settings, secret = _signing()
    now = int(time.time())
    claims: dict[str, object] = {
        "sub": user,
        "roles": sorted(set(role or [Role.USER])),
        "iat": now,
        "exp": now + seconds,
    }
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience
    typer.echo(jwt.encode(claims, secret, algorithm="HS256"))


def _signing() -> "tuple[TokenSettings, str]":
    """The settings that tokens are checked by, and the secret."""
    from deploy.local.identity import GivenIdentity
    from deploy.secret_files import NotASecret, read_secret

    given = read_settings_or_exit(GivenIdentity)
    if given.jwks_url:
        _fail(
            "tokens come from the identity provider here (WEIR_JWKS_URL), "
            "and only it can sign them."
        )
    if secret := given.jwt_secret.get_secret_value():
        return given, secret
    try:
        return given, read_secret(given.secret_file).hex()
    except FileNotFoundError:
        _fail(
            f"there is no secret to sign with: {given.secret_file} does not exist. Start Weir "
            "once with `make up`, set WEIR_DATA_DIR to its folder, or set WEIR_JWT_SECRET."
        )
    except (NotASecret, OSError) as error:
        _fail(f"the secret cannot be read: {error}.")


def _fail(problem: str) -> NoReturn:
    sys.stderr.write(f"weir token: {problem}\n")
    raise typer.Exit(EX_CONFIG)
