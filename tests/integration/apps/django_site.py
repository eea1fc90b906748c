"""A Django site in one module, as WSGI (`wsgi`) and as ASGI (`asgi`); `python -m django_site` makes its database."""

import asyncio
import hashlib
import os

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["127.0.0.1", "test.example"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.abspath("site.sqlite3")}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stderr": {"class": "logging.StreamHandler"}},
        "loggers": {"django": {"handlers": ["stderr"], "level": "ERROR"}},
    },
)
django.setup()

from django.contrib import admin  # noqa: E402 - what follows needs the settings
from django.contrib.auth.models import User  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.handlers.asgi import ASGIRequest  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402

FORM = """<form method="post">{% csrf_token %}<input name="text"><button>Send</button></form>{{ text }}"""


def index(request):
    return HttpResponse("hello")


def form(request):
    template = engines["django"].from_string(FORM)
    return HttpResponse(template.render({"text": request.POST.get("text", "")}, request))


def stream(request):
    lines = range(int(request.GET["lines"]))

    def blocks():
        for number in lines:
            yield f"line {number}\n"

    async def async_blocks():
        for number in lines:
            yield f"line {number}\n"
            if number % 100 == 0:
                await asyncio.sleep(0)

    chosen = async_blocks() if isinstance(request, ASGIRequest) else blocks()
    return StreamingHttpResponse(chosen, content_type="text/plain")


@csrf_exempt
def upload(request):
    seen = hashlib.sha256()
    for chunk in request.FILES["file"].chunks():
        seen.update(chunk)
    return JsonResponse({"size": request.FILES["file"].size, "sha256": seen.hexdigest()})


def file(request):
    return FileResponse(open("payload", "rb"))


def describe(request):
    return JsonResponse(
        {
            "url": request.build_absolute_uri(),
            "address": request.META.get("REMOTE_ADDR"),
            "field": request.headers.get("X-Test"),
            "users": User.objects.count(),
        }
    )


async def wait(request):
    await asyncio.sleep(0.001)
    return HttpResponse("waited")


def fail(request):
    raise LookupError("what Django answers with 500")


urlpatterns = [
    path("", index),
    path("admin/", admin.site.urls),
    path("form", form),
    path("stream", stream),
    path("upload", upload),
    path("file", file),
    path("describe", describe),
    path("wait", wait),
    path("fail", fail),
]

wsgi = get_wsgi_application()
asgi = get_asgi_application()

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    User.objects.create_superuser("admin", "admin@test.example", "secret")
