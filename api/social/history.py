"""Posts as ClickHouse has them: one user's, newest first, and one by its id."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from api.clickhouse import ClickHouseReader, Row
from api.cursors import Cursor
from api.social.board import PostState
from schemas.generation import GenerationResult, Picture, PostVariant
from schemas.posts import PostOptions

# The table's key read backwards: within a user by arrival. A request that is sent again has no
# row of its own.
_JOBS: Final = """
SELECT
    job_topic, job_partition, job_incarnation, job_offset, toUnixTimestamp64Milli(received_at),
    toString(post_id), prompt, platform, tone, language, variants,
    toUnixTimestamp64Micro(requested_at)
FROM generation_jobs
WHERE user_id = {user_id:String}
  AND received_at <= fromUnixTimestamp64Milli({cursor_ms:Int64})
  AND (received_at, job_topic, job_partition, job_incarnation, job_offset) < (
    fromUnixTimestamp64Milli({cursor_ms:Int64}),
    {cursor_topic:String}, {cursor_partition:UInt16},
    {cursor_incarnation:UInt32}, {cursor_offset:UInt64}
  )
ORDER BY
    user_id DESC, received_at DESC,
    job_topic DESC, job_partition DESC, job_incarnation DESC, job_offset DESC
LIMIT {limit:UInt32}
"""

_JOB: Final = """
SELECT
    job_topic, job_partition, job_incarnation, job_offset, toUnixTimestamp64Milli(received_at),
    toString(post_id), prompt, platform, tone, language, variants,
    toUnixTimestamp64Micro(requested_at)
FROM generation_jobs
WHERE user_id = {user_id:String} AND post_id = {post_id:UUID}
LIMIT 1
"""

# By the table's key; a copy that came late says the same.
_RESULTS: Final = """
SELECT
    toString(post_id), state, reason, detail,
    variants.number, variants.caption, variants.picture_key, variants.width, variants.height,
    credits_charged, credits_refunded, stub,
    toUnixTimestamp64Micro(requested_at), toUnixTimestamp64Micro(finished_at)
FROM generation_results
WHERE user_id = {user_id:String} AND post_id IN {post_ids:Array(UUID)}
-- What was paid for stands before a refusal of the quota, after which the key was used again.
ORDER BY user_id, post_id, credits_charged DESC
LIMIT 1 BY post_id
"""

_KEY: Final = 5


async def stored_posts(
    clickhouse: ClickHouseReader, user_id: str, cursor: Cursor, limit: int
) -> list[tuple[Cursor, PostState]]:
    """A user's posts behind the cursor, newest first, each with its own cursor."""
    rows = await clickhouse.ask(_JOBS, {"user_id": user_id, **cursor.parameters(), "limit": limit})
    results = await _results(clickhouse, user_id, [UUID(str(row[_KEY])) for row in rows])
    found = []
    for row in rows:
        topic, partition, incarnation, offset, ms = map(str, row[:_KEY])
        place = Cursor(int(ms), topic, int(partition), int(incarnation), int(offset))
        found.append((place, _state(user_id, row[_KEY:], results)))
    return found


async def stored_post(
    clickhouse: ClickHouseReader, user_id: str, post_id: UUID
) -> PostState | None:
    """One of a user's posts; None: there is none, or it is not stored yet."""
    rows = await clickhouse.ask(_JOB, {"user_id": user_id, "post_id": str(post_id)})
    results = await _results(clickhouse, user_id, [post_id])
    if rows:
        return _state(user_id, rows[0][_KEY:], results)
    # The quota refused it: it has no job.
    result = results.get(post_id)
    if result is None:
        return None
    return PostState(post_id, user_id, result.state, result=result)


async def _results(
    clickhouse: ClickHouseReader, user_id: str, post_ids: Sequence[UUID]
) -> dict[UUID, GenerationResult]:
    if not post_ids:
        return {}
    rows = await clickhouse.ask(
        _RESULTS, {"user_id": user_id, "post_ids": [str(each) for each in post_ids]}
    )
    results = [_result(user_id, row) for row in rows]
    return {each.post_id: each for each in results}


def _state(user_id: str, row: Row, results: dict[UUID, GenerationResult]) -> PostState:
    post_id, prompt, platform, tone, language, variants, requested = row
    result = results.get(UUID(str(post_id)))
    made = result.variants if result else []
    return PostState(
        post_id=UUID(str(post_id)),
        user_id=user_id,
        state=result.state if result else "queued",
        options=PostOptions.model_validate(
            {
                "prompt": prompt,
                "platform": platform,
                "tone": tone,
                "language": language,
                "variants": int(str(variants)),
            }
        ),
        requested_at=_moment(requested),
        captions={each.number: each.caption for each in made},
        pictures={each.number: each.picture for each in made},
        result=result,
    )


def _result(user_id: str, row: Row) -> GenerationResult:
    (post_id, state, reason, detail, numbers, captions, keys, widths, heights) = row[:9]
    charged, refunded, stub, requested, finished = row[9:]
    columns = [_list(each) for each in (numbers, captions, keys, widths, heights)]
    return GenerationResult.model_validate(
        {
            "post_id": str(post_id),
            "user_id": user_id,
            "state": state,
            "reason": reason or None,
            "detail": detail,
            "variants": [
                PostVariant(
                    number=int(str(number)),
                    caption=str(caption),
                    picture=Picture(key=str(key), width=int(str(width)), height=int(str(height))),
                )
                for number, caption, key, width, height in zip(*columns, strict=True)
            ],
            "credits_charged": int(str(charged)),
            "credits_refunded": int(str(refunded)),
            "stub": bool(stub),
            "requested_at": _moment(requested),
            "finished_at": _moment(finished),
        }
    )


def _list(value: object) -> list[object]:
    assert isinstance(value, list)  # noqa: S101, an array's
    return value


def _moment(micros: object) -> datetime:
    return datetime.fromtimestamp(int(str(micros)) / 1_000_000, UTC)
