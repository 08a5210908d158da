"""A post that is followed while nothing happens to it: the stream stays, and ends with the API."""

from time import monotonic
from typing import Final

import orjson
import pytest

from tests.api.requests import JSON, ask
from tests.services import Services
from tests.weir import throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

END_SECONDS: Final = 5


async def test_followers_of_a_post_that_waits_do_not_keep_the_api_from_ending(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with throwaway_weir(services, tmp_path_factory.mktemp("followed")) as weir:
        await weir.keep(weir.start_quotas)
        # Nobody makes posts.
        api = await weir.start_api({"WEIR_QUOTA_TIMEOUT": "1", "WEIR_GENERATION_WAIT": "1"})
        answer = await ask(
            weir, "POST", "/social/post", orjson.dumps({"prompt": "New espresso"}), JSON
        )
        assert answer.status == 202
        async with weir.session.get(f"{weir.url}{answer.headers['Location']}/events") as stream:
            assert stream.status == 200
            assert await stream.content.readuntil(b'"state":"queued"}')
            start = monotonic()
            api.terminate()
            assert await api.wait() == 0
            assert monotonic() - start < END_SECONDS
        assert "Traceback" not in "\n".join(api.last_lines(200))
