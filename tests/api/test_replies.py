"""Replies reach who waits for them, and nothing is waited for that cannot come."""

import asyncio

import pytest

from api.replies import Replies, RepliesUnavailable
from schemas.replies import REPLY_PARTITION_HEADER, REQUEST_ID_HEADER
from schemas.topics import REPLIES
from tests.api.replying import a_decision, a_result, ready, reply_to, within, write
from tests.unreadable_names import UNREADABLE, send_together
from tests.weir import Weir

pytestmark = pytest.mark.services


async def test_each_reply_reaches_its_request_and_what_is_none_is_passed_over(weir: Weir) -> None:
    async with Replies(weir.kafka) as replies, Replies(weir.kafka) as others:
        await ready(weir, replies)
        await ready(weir, others)
        with replies.expected() as one, replies.expected() as other, others.expected() as far:
            decisions = [a_decision(), a_decision(), a_decision()]
            await write(weir, one, b"not JSON")
            await write(weir, one, b"", key=b"another's request")
            for expected, decision in zip((other, far, one), decisions, strict=True):
                await write(weir, expected, reply_to(expected, decision))
                # A worker that was killed replies again.
                await write(weir, expected, reply_to(expected, decision))
            assert [await within(10, each) for each in (other, far, one)] == decisions
        assert replies._waiting == {}


async def test_a_request_for_a_post_gets_a_decision_and_then_a_result(weir: Weir) -> None:
    async with Replies(weir.kafka) as replies:
        await ready(weir, replies)
        with replies.expected() as expected, replies.expected() as at_once:
            decision, result, other = a_decision(), a_result(), a_result()
            await write(weir, expected, reply_to(expected, decision))
            assert await within(10, expected) == decision
            assert not expected.result.done()
            # A worker that was killed decides again, and says the same.
            await write(weir, expected, reply_to(expected, decision))
            await write(weir, expected, reply_to(expected, result=result))
            await write(weir, at_once, reply_to(at_once, decision, result=other))
            async with asyncio.timeout(10):
                assert await expected.result == result
                assert await at_once.result == other
            assert at_once.decision.result() == decision


async def test_a_header_name_that_is_not_utf8_ends_nothing(weir: Weir) -> None:
    async with Replies(weir.kafka) as replies:
        await ready(weir, replies)
        with replies.expected() as one, replies.expected() as other:
            decisions = [a_decision(), a_decision()]
            await send_together(
                weir.kafka,
                weir.topic(REPLIES.name),
                int(dict(one.headers)[REPLY_PARTITION_HEADER]),
                [
                    (b"nobody's", b"", [UNREADABLE]),
                    *(
                        (dict(each.headers)[REQUEST_ID_HEADER], reply_to(each, decision), headers)
                        for each, decision, headers in zip(
                            (one, other), decisions, ([UNREADABLE], []), strict=True
                        )
                    ),
                ],
            )
            assert [await within(10, each) for each in (one, other)] == decisions
        assert replies.problem() is None


async def test_before_it_reads_nothing_is_waited_for(weir: Weir) -> None:
    await weir.drop_topics()
    async with Replies(weir.kafka) as replies:

        async def names_the_topic() -> bool:
            return "run `weir topics`" in (replies.problem() or "")

        await weir.eventually(names_the_topic)
        with pytest.raises(RepliesUnavailable, match="weir topics"), replies.expected():
            pass
        await weir.prepare()
        await ready(weir, replies)


async def test_no_more_requests_wait_than_may(weir: Weir) -> None:
    async with Replies(weir.kafka, max_waiting=1) as replies:
        await ready(weir, replies)
        with (
            replies.expected(),
            pytest.raises(RepliesUnavailable, match="too many"),
            replies.expected(),
        ):
            pass
        # Whoever gave up makes room.
        with replies.expected() as expected:
            decision = a_decision()
            await write(weir, expected, reply_to(expected, decision))
            assert await within(10, expected) == decision


async def test_a_topic_made_anew_is_read(weir: Weir) -> None:
    async with Replies(weir.kafka) as replies:
        await ready(weir, replies)
        with replies.expected() as expected:
            for _ in range(3):
                await write(weir, expected, b"fills it up")
            await write(weir, expected, reply_to(expected, a_decision()))
            await within(10, expected)
        await weir.drop_topics()
        await weir.prepare()
        with replies.expected() as expected:
            decision = a_decision()
            await write(weir, expected, reply_to(expected, decision))
            assert await within(60, expected) == decision
