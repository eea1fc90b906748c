"""Command lines as people give them to uvicorn: what stands behind the word, as a shell would read it.

Nearly all have --host and --port; then come --reload, --workers, --proxy-headers, --factory and the rest.
"""

LINES = r"""
main:app
main:app --host 0.0.0.0 --port 8000
main:app --host 0.0.0.0 --port 80
main:app --host=0.0.0.0 --port=8080
--host 0.0.0.0 --port 8000 main:app
app.main:app --host 0.0.0.0 --port 8000 --reload
app.main:app --reload --host 0.0.0.0 --port 8000 --log-level debug
app.main:app --host 0.0.0.0 --port 8000 --workers 4
app.main:app --host 0.0.0.0 --port 8000 --workers 4 --loop uvloop --proxy-headers --forwarded-allow-ips='*'
app.main:app --host 0.0.0.0 --port 80 --proxy-headers --forwarded-allow-ips '*'
app.main:app --host 0.0.0.0 --port 80 --no-access-log --forwarded-allow-ips '*' --proxy-headers
app.main:app --host 0.0.0.0 --port 8000 --log-level info --no-access-log
app.main:app --port 8000
app.main:app --host 127.0.0.1
app.main:app --host ::
app.main:create_app --factory --host 0.0.0.0 --port 8000
app.main:create_app --factory --port 80 --host 0.0.0.0 --proxy-headers --forwarded-allow-ips "*"
main:app --host 0.0.0.0 --port 8000 --app-dir src
main:app --host 0.0.0.0 --port 8000 --root-path /api
main:app --uds /run/app.sock
main:app --uds app.sock --proxy-headers
main:app --fd 3
main:app --host 0.0.0.0 --port 8000 --timeout-keep-alive 65
main:app --host 0.0.0.0 --timeout-keep-alive 60 --workers 4 --limit-concurrency 50 --backlog 2048 --proxy-headers
main:app --timeout-graceful-shutdown 10 --port 8000
main:app --limit-max-requests 1000 --limit-max-requests-jitter 100
main:app --lifespan on --host 0.0.0.0 --port 80
main:app --lifespan off
main:app --loop asyncio --http h11
main:app --loop uvloop --http httptools
main:app --loop auto --http auto
main:app --interface asgi3
main:app --interface wsgi
main:app --env-file .env --host 0.0.0.0
main:app --log-config log.ini
main:app --log-level warning --use-colors
main:app --no-use-colors --access-log
main:app --no-server-header --no-date-header
main:app --header X-Frame-Options:DENY --header "Server: own"
main:app --no-proxy-headers
main:app --forwarded-allow-ips 10.0.0.1,10.0.0.2
main:app --ssl-keyfile key.pem --ssl-certfile cert.pem --port 8443
main:app --ssl-keyfile=key.pem --ssl-certfile=cert.pem --ssl-ca-certs=cert.pem --ssl-cert-reqs=2
main:app --ws none
main:app --ws websockets --ws-max-size 1048576 --ws-ping-interval 30 --ws-ping-timeout 30
main:app --reload --reload-dir src
main:app --reload --reload-dir src --reload-dir lib --reload-include '*.yaml' --reload-exclude '*.tmp'
main:app --reload --reload-delay 1.5
main:app --h11-max-incomplete-event-size 65536
main:app --timeout-worker-healthcheck 10
""".strip().splitlines()

# (variables, line)
WITH_VARIABLES: list[tuple[dict[str, str], str]] = [
    ({"UVICORN_HOST": "0.0.0.0", "UVICORN_PORT": "80"}, "main:app"),
    ({"UVICORN_APP": "main:app", "UVICORN_PORT": "80"}, ""),
    ({"UVICORN_PORT": "80"}, "main:app --port 90"),
    ({"UVICORN_WORKERS": "3", "WEB_CONCURRENCY": "2"}, "main:app"),
    ({"WEB_CONCURRENCY": "2"}, "main:app"),
    ({"UVICORN_LOG_LEVEL": "debug", "UVICORN_ACCESS_LOG": "false"}, "main:app --host 0.0.0.0"),
    ({"UVICORN_FACTORY": "1", "UVICORN_LIFESPAN": "off"}, "main:create"),
    ({"UVICORN_RELOAD": "true"}, "main:app"),
    ({"UVICORN_TIMEOUT_KEEP_ALIVE": "30", "UVICORN_ROOT_PATH": "/api"}, "main:app"),
    ({"UVICORN_FORWARDED_ALLOW_IPS": "10.0.0.1", "FORWARDED_ALLOW_IPS": "10.0.0.2"}, "main:app"),
    ({"UVICORN_LIMIT_CONCURRENCY": "9", "UVICORN_BACKLOG": "9"}, "main:app"),
    ({"UVICORN_RELOAD": "1", "UVICORN_RELOAD_DIRS": "src:lib"}, "main:app"),
    ({"UVICORN_RELOAD": "1", "UVICORN_RELOAD_DIRS": "src"}, "main:app"),
    ({"UVICORN_RELOAD_INCLUDES": "*.html  *.css", "UVICORN_RELOAD_EXCLUDES": "test_*.py"}, "main:app"),
    ({"UVICORN_HEADERS": "X-A:b X-C:d"}, "main:app"),
    ({"UVICORN_HEADERS": "X-A:b"}, "main:app --header X-C:d"),
]

# Refused by both.
REFUSED = r"""
main:app --port x
main:app --nowhere
main:app --lifespan perhaps
main:app --interface rsgi
main:app --port 8000 extra
main:app --fd x
""".strip().splitlines()
