"""`weir generate`: a social post on the command line, through the same stream as over HTTP."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from deploy.edge_answers import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_TRY_AGAIN,
    Url,
    asked,
    fail,
)
from schemas.posts import MAX_VARIANTS, Platform, Tone

if TYPE_CHECKING:
    from deploy.edge_client import EdgeClient, Json
    from deploy.picture_files import PictureFiles


def generate(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What the post is about.", show_default=False)
    ],
    platform: Annotated[
        Platform, typer.Option(help="Decides the caption's length and the picture's size.")
    ] = "instagram",
    tone: Annotated[Tone, typer.Option(help="Of the caption.")] = "friendly",
    language: Annotated[str, typer.Option(help="Of the caption, such as en or pt-BR.")] = "en",
    variants: Annotated[
        int,
        typer.Option(min=1, max=MAX_VARIANTS, help="How many to choose from; each costs a credit."),
    ] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The picture's file, or a folder. Else post-….png in the current folder. "
            "What is there already is never written over.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Names this one post: run again with the same key it is the same one, and costs "
            "nothing more. Else one is made up.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How long to wait for it.")
    ] = 300.0,
    url: Url = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON; `files` are the pictures.")
    ] = False,
) -> None:
    """Make a social post: a caption and a picture, for one credit a variant.

    \b
    Ends with
      0    the captions are shown, the pictures are written
      1    it failed or was refused, and why is said with what is given back
      69   what answers there is not Weir
      75   it is not there yet, or not known to be: run it again with the key that is named
      130  interrupted; the post goes on: run it again with the key that is named
    """
    from uuid import uuid4

    from deploy.picture_files import PictureFiles

    files = PictureFiles(output, variants)
    if problem := files.problem(again=key is not None):
        raise typer.BadParameter(problem, param_hint="--output")
    document: Json = {
        "prompt": prompt,
        "platform": platform,
        "tone": tone,
        "language": language,
        "variants": variants,
    }
    _Run(document, files, key or str(uuid4()), url, timeout).run(as_json=as_json)


class _Run:
    """One post, from the question to its files."""

    def __init__(
        self,
        document: "Json",
        files: "PictureFiles",
        key: str,
        url: str | None,
        timeout: float,
    ) -> None:
        self._document = document
        self._files = files
        self._url = url
        self._timeout = timeout
        self._post_id: str | None = None
        self._again = f"\nRun it again with this, and it is the same post: --key {key}"
        self._key = key

    def run(self, *, as_json: bool) -> None:
        from deploy.followed_posts import StillGoing
        from deploy.picture_files import NotWritten
        from deploy.posts_shown import printable

        try:
            post, files = asked("generate", self._url, self._made, again=self._again)
        except StillGoing as error:
            self._still_going(EXIT_TRY_AGAIN, printable(str(error)))
        except NotWritten as error:
            fail("generate", EXIT_FAILED, f"the post is done, but {error}{self._again}")
        except KeyboardInterrupt:
            self._still_going(EXIT_INTERRUPTED, "interrupted")
        self._end(post, files, as_json=as_json)

    async def _made(self, client: "EdgeClient") -> "tuple[Json, list[Path]]":
        from deploy.followed_posts import asked_for, followed
        from deploy.posts_shown import spinner_on

        with spinner_on(sys.stderr) as report:
            post = await asked_for(client, self._document, self._key)
            self._post_id = str(post["id"])
            post = await followed(client, post, report, seconds=self._timeout)
            if post["state"] == "failed":
                if post.get("reason") == "quota_exceeded":
                    post = await _with_reset(client, post)
                return post, []
            return post, await self._saved(client, post)

    async def _saved(self, client: "EdgeClient", post: "Json") -> list[Path]:
        """The files of the pictures. Raises NotWritten."""
        from deploy.edge_client import NoAnswer, Refused
        from deploy.picture_files import NotWritten, write_new
        from deploy.posts_shown import printable

        files = []
        for variant in post["variants"]:
            address = str(variant["image_url"])
            try:
                content = await client.content(address)
            except (NoAnswer, Refused) as error:
                raise NotWritten(
                    f"its picture {printable(address)} cannot be had: {printable(str(error))}"
                ) from None
            file = self._files.name(str(post["id"]), int(variant["number"]), address)
            write_new(file, content)
            files.append(file)
        return files

    def _still_going(self, code: int, problem: str) -> NoReturn:
        from deploy.posts_shown import printable

        if self._post_id is None:
            goes_on = "whether the post was asked for is not known"
        else:
            goes_on = f"the post goes on: GET /social/posts/{printable(self._post_id)}"
        fail("generate", code, f"{problem}; {goes_on}.{self._again}")

    def _end(self, post: "Json", files: list[Path], *, as_json: bool) -> None:
        from json import dumps

        from deploy.posts_shown import failure, remark, result_lines

        if as_json:
            typer.echo(dumps({**post, "files": [str(file) for file in files]}))
        if post["state"] == "failed":
            fail("generate", EXIT_FAILED, failure(post))
        if not as_json:
            for line in result_lines(post, files):
                typer.echo(line)
        if said := remark(post):
            typer.echo(said, err=True)


async def _with_reset(client: "EdgeClient", post: "Json") -> "Json":
    """The post with when credits are there again, where the API says it."""
    from deploy.edge_client import NoAnswer, Refused

    try:
        plan = await client.get("/api/user/plan")
    except (NoAnswer, Refused):
        return post
    return {**post, "detail": f"{post['detail']} until {plan['resets_at']}"}
