"""Serves the fake on a port until it is stopped."""

import asyncio
import sys

from tests.stripe_fake.server import FakeStripe, served


async def _main(port: int, delay: float) -> None:
    async with served(FakeStripe(delay), port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
