"""Applications that cannot start."""

import asyncio
import sys


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the database is away"})


async def raising(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        raise LookupError("no such database")


async def waiting(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("waiting for a database", file=sys.stderr)
        try:
            await asyncio.Event().wait()
        finally:
            print("waiting no more", file=sys.stderr)
