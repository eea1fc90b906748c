"""An application that configures loggers of its server's when it starts, as many do."""

import logging

logging.getLogger("uvicorn").info("hello from the module")


class NoHealthChecks(logging.Filter):
    def filter(self, record):
        return record.args[2] != "/healthz"


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        logging.getLogger("uvicorn.access").addFilter(NoHealthChecks())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    logging.getLogger("uvicorn.error").warning("hello from %s", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def wsgi(environ, start_response):
    """As Flask's users have it: the application's logger has the handlers of `gunicorn.error`."""
    logger = logging.getLogger("my.app")
    logger.handlers = logging.getLogger("gunicorn.error").handlers
    logger.setLevel(logging.getLogger("gunicorn.error").level)
    logger.info("hello from %s", environ["PATH_INFO"])
    print("printed")
    start_response("200 OK", [])
    return [b"ok"]
