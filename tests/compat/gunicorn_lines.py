"""Command lines as people give them to gunicorn: in Dockerfiles, entry points, compose files, units and Procfiles.

What stands behind the word `gunicorn`, as a shell would read it. Their frequencies follow public files: three quarters
have --bind, half --workers, a fifth --timeout; then threads, worker classes, -c, and the logs.
"""

LINES = r"""
app:app
wsgi
wsgi:app
main:create_app()
'app:create_app("production", debug=False)'
mysite.wsgi
mysite.wsgi:application
package.module:object.attribute
app:app --bind 0.0.0.0:8000
app:app --bind=0.0.0.0:8000
app:app -b 0.0.0.0:8000
app:app -b0.0.0.0:8000
app:app -b=0.0.0.0:8000
app:app -b :8000
app:app -b 0.0.0.0
app:app --bind=0.0.0.0
app:app --bind localhost:5000
app:app --bind [::]:8000
app:app --bind [::1]:8000 --bind 127.0.0.1:8000
app:app -b 0.0.0.0:8000 -b unix:/run/app.sock
app:app --bind unix:/run/gunicorn.sock
app:app --bind unix:app.sock
app:app --bind unix:/tmp/gunicorn.sock -m 007
app:app --bind fd://3
--bind 0.0.0.0:8000 app:app
--bind 0.0.0.0:8080 --workers 1 --threads 8 --timeout 0 main:app
--bind :8080 --workers 1 --threads 8 --timeout 0 main:app
-b 0.0.0.0:80 -w 4 app:app
-w 4 app:app
-w4 app:app
-w=4 app:app
--workers=2 --bind=0.0.0.0:5000 run:app
--workers=2 --threads=4 --bind=0.0.0.0:5000 run:app
--workers 3 config.wsgi:application --bind "0.0.0.0:8000"
core.wsgi:application --bind 0.0.0.0:8000 --workers 3
core.wsgi:application --bind 0.0.0.0:8000 --workers 3 --timeout 120
core.wsgi --bind 0.0.0.0:8000 --timeout 300 --graceful-timeout 90 --max-requests 2048 --workers 4 --preload
core.wsgi --log-file -
core.wsgi --log-file=-
core.wsgi --log-file - --log-level debug
core.wsgi --log-level INFO --reload -b 0.0.0.0:8000
core.wsgi --timeout 0 --keep-alive 5 --log-level debug
core.wsgi -t 600
core.wsgi -t600
core.wsgi --timeout=600 --graceful-timeout=600
app:app --access-logfile - --error-logfile -
app:app --access-logfile=- --error-logfile=- --capture-output
app:app --access-logfile /var/log/gunicorn/access.log --error-logfile /var/log/gunicorn/error.log
app:app --access-logfile logs/access.log --log-level warning
app:app --access-logfile - --access-logformat '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s'
app:app --access-logfile - --access-logformat "%(t)s %(r)s %(s)s %(b)s"
app:app --access-logfile - --access-logformat '{"ip":"%(h)s","id":"%({x-request-id}i)s","ms":"%(M)s"}'
app:app --access-logformat '%({x-forwarded-for}i)s [%(t)s] "%(r)s" %(D)sµs' --access-logfile '-'
app:app -b 0.0.0.0:5000 -w 2 -k gthread --threads 4
app:app -b 0.0.0.0:5000 --worker-class=gthread --threads=4 --workers=2 --worker-tmp-dir=/dev/shm --log-file=-
app:app --worker-tmp-dir /dev/shm --workers=2 --threads=4 --worker-class=gthread
app:app --worker-class gthread --threads 100 --workers 1
app:app --worker-class sync --workers 4
app:app --threads 4
app:app -k sync --threads 4
app:app -k gevent -w 4
app:app -k gevent --worker-connections 1000 -b :8000
app:app --worker-class gevent --workers 1 --bind 0.0.0.0:8000 --timeout 120
app:app --worker-class=gevent --worker-connections=1000 --workers=3
app:app --worker-class eventlet -w 1
app:app --worker-class eventlet -w 1 --bind 0.0.0.0:5000
app:app -k gunicorn.workers.ggevent.GeventWorker
app:app -k asgi
app:app --worker-class asgi --workers 4 --asgi-loop uvloop
app:app --worker-class asgi --asgi-lifespan off --asgi-disconnect-grace-period 5
main:app -k uvicorn.workers.UvicornWorker
main:app -w 4 -k uvicorn.workers.UvicornWorker
main:app --workers 4 --worker-class uvicorn.workers.UvicornWorker --bind 0.0.0.0:8000
main:app -w 4 -k uvicorn.workers.UvicornWorker -b 0.0.0.0:8000 --timeout 60
main:app --bind=0.0.0.0 --timeout 600 --workers 4 --worker-class uvicorn.workers.UvicornWorker
main:app -k uvicorn.workers.UvicornWorker --bind 0.0.0.0:8000 --log-level info --access-logfile -
main:app -k uvicorn.workers.UvicornH11Worker
main:app -k uvicorn_worker.UvicornWorker -w 2
main:app -k uvicorn_worker.UvicornH11Worker
main:app --worker-class uvicorn.workers.UvicornWorker --max-requests 1000 --max-requests-jitter 50 --log-file -
app:app --max-requests 1000 --max-requests-jitter 100
app:app --max-requests=1200 --max-requests-jitter=50 --workers=3
app:app --preload
app:app --preload --workers 2 --bind 0.0.0.0:5000
app:app --reload
app:app --reload --bind 0.0.0.0:5000 --log-level debug
app:app --reload --reload-engine poll
app:app --reload --reload-extra-file extra.txt
app:app --chdir src
app:app --bind 0.0.0.0:9000 --chdir src --workers=2
app:app --pythonpath src,lib
app:app --pythonpath /srv/app
app:app -c conf.py
app:app --config conf.py
app:app --config=conf.py
app:app -c file:conf.py
app:app --config='file:conf.py'
app:app -c python:conf
app:app -c conf.py --log-level INFO -b 0.0.0.0:8001
-c conf.py app:app
-c conf.py
--conf conf.py app:app
app:app --thread 4
app:app --error-log - --access-logfi -
app:app --worker-conn 500
app:app --worker-cl gthread --thr 2
app:app --preloa --graceful 20
app:app --forwarded-allow-ips '*'
app:app --forwarded-allow-ips="*" --bind 0.0.0.0:8000
app:app --forwarded-allow-ips 10.0.0.0/8,172.16.0.10
app:app --proxy-protocol
app:app --proxy-protocol --proxy-allow-from 10.0.0.1
app:app --user nobody --group nogroup
app:app -u nobody -g nogroup -b unix:/run/app.sock
app:app --user 1000 --group 1000
app:app --umask 0027
app:app --initgroups --user nobody
app:app -p /run/gunicorn.pid
app:app --pid /run/gunicorn.pid --workers 3 --bind unix:/run/app.sock
app:app --pid=app.pid -D
app:app --daemon --log-file /tmp/gunicorn.log --pid /tmp/gunicorn.pid
app:app -D -R
app:app -n shop
app:app --name shop --workers 3 --user=nobody --group=nogroup --bind=unix:/run/app.sock --log-level=debug --log-file=-
app:app --env DJANGO_SETTINGS_MODULE=mysite.settings
app:app -e A=1 -e B=2 --env C="3 4"
app:app --backlog 64
app:app --reuse-port --workers 4
app:app --keep-alive 65
app:app --keep-alive 0
app:app --no-sendfile
app:app --limit-request-line 8190 --limit-request-fields 200 --limit-request-field_size 16380
app:app --limit-request-line 0
app:app --limit-request-line 4094
app:app --limit-request-fields 32768
app:app --log-config log.ini
app:app --log-config log.ini --log-level debug --timeout=0 --preload --bind=0.0.0.0:8080
app:app --log-config-json log.json
app:app --log-syslog
app:app --log-syslog --log-syslog-to udp://127.0.0.1:514 --log-syslog-prefix shop --log-syslog-facility local1
app:app --log-syslog --disable-redirect-access-to-syslog
app:app --logger-class gunicorn.glogging.Logger
app:app --statsd-host localhost:8125
app:app --statsd-host localhost:8125 --statsd-prefix shop --dogstatsd-tags env:prod,team:a
app:app --enable-backlog-metric --statsd-host 127.0.0.1
app:app --no-control-socket
app:app --no-control-socket --bind 0.0.0.0:8080 --workers 2
app:app --control-socket /run/gunicorn.ctl --control-socket-mode 0660
app:app --certfile cert.pem --keyfile key.pem --bind 0.0.0.0:8443
app:app --certfile=cert.pem --keyfile=key.pem --ca-certs cert.pem --cert-reqs 2
app:app --certfile cert.pem --keyfile key.pem --ciphers ECDHE+AESGCM
app:app --http-parser python
app:app --http-parser fast
app:app --header-map dangerous
app:app --forwarder-headers SCRIPT_NAME,REMOTE_USER
app:app --root-path /api
app:app --http-protocols h1
app:app --spew
app:app --permit-unconventional-http-method
app:app --dirty-workers 2 --dirty-app app:Heavy
app:app --access-logfile ''
app:app --pid '' --name '' --root-path ''
app:app --certfile '' --keyfile ''
app:app --config ''
app:app --chdir .
app:app --forwarded-allow-ips ''
app:app --bind 0.0.0.0:8000 --bind 0.0.0.0:8001
app:app --bind 127.0.0.1
app:app --bind tcp://127.0.0.1:80
app:app --bind unix:///tmp/x.sock
app:app --bind LOCALHOST:80
app:app --umask 0o022
app:app --umask 22
app:app -m 0
app:app --limit-request-fields 0
app:app --worker-connections 10 --threads 2
app:app --max-requests 0
app:app --timeout 0
app:app --graceful-timeout 0
app:app --check-config
app:app --print-config
app:app -w 2 -b :8000 --timeout 120 --workers 3
app:app --workers 2 --worker-class gthread --threads 4 --timeout 120 --keep-alive 5 --max-requests 500
--paste deploy.ini
--paster deploy.ini#main -b 0.0.0.0:6543 -w 2
--paste deploy.ini --paste-global debug=1 --paste-global 'a\=b=c' --log-config log.ini -n shop
""".strip().splitlines()

# (variables, line): what GUNICORN_CMD_ARGS, PORT and WEB_CONCURRENCY say
WITH_VARIABLES: list[tuple[dict[str, str], str]] = [
    ({"GUNICORN_CMD_ARGS": "--bind=0.0.0.0:5000 --workers=3"}, "app:app"),
    ({"GUNICORN_CMD_ARGS": "--access-logfile - --error-logfile - --preload"}, "app:app -w 2"),
    ({"GUNICORN_CMD_ARGS": "-w 3 -b :1"}, "app:app -w 2"),
    ({"GUNICORN_CMD_ARGS": "-b :1"}, "app:app -b :2"),
    ({"GUNICORN_CMD_ARGS": "-c conf.py"}, "app:app"),
    ({"GUNICORN_CMD_ARGS": "-c nowhere.py"}, "app:app -c conf.py"),
    ({"GUNICORN_CMD_ARGS": "-c conf.py --timeout 7"}, "app:app --threads 3"),
    ({"GUNICORN_CMD_ARGS": "--access-logformat '%(h)s \"%(r)s\"'"}, "app:app"),
    ({"GUNICORN_CMD_ARGS": ""}, "app:app"),
    ({"WEB_CONCURRENCY": "3"}, "app:app"),
    ({"WEB_CONCURRENCY": "3"}, "app:app -w 2"),
    ({"PORT": "5000"}, "app:app"),
    ({"PORT": "5000"}, "app:app -b 127.0.0.1:80"),
    ({"PORT": "5000", "WEB_CONCURRENCY": "2"}, "app:app -c conf.py"),
    ({"FORWARDED_ALLOW_IPS": "*"}, "app:app"),
    ({"FORWARDED_ALLOW_IPS": "10.0.0.1"}, "app:app --forwarded-allow-ips 10.0.0.2"),
]

# Refused by both.
REFUSED = r"""
app:app --workers x
app:app --nowhere
app:app --timeout -1
app:app --worker 4
app:app --log -
app:app --bind
app:app --bind 0.0.0.0:port
app:app --chdir nowhere
app:app -c nowhere.py
app:app -c python:nowhere_at_all
app:app --preload=yes
app:app --user nobody_at_all
app:app --header-map perhaps
app:app --limit-request-fields many
--paste nowhere.ini
""".strip().splitlines()
