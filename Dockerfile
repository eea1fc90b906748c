# An image with the command pyserve and nothing else; put an application on top of it:
#
#     FROM pyserve
#     COPY requirements.txt .
#     USER 0
#     RUN ["pip", "install", "--no-cache-dir", "-r", "requirements.txt"]
#     USER 10001:10001
#     COPY . .
#     CMD ["--bind", "0.0.0.0:8000", "module:app"]
#
# It writes no files while it runs: `docker run --read-only` is fine.

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY pyserve pyserve
RUN ["pip", "wheel", "--no-cache-dir", "--wheel-dir", "/wheels", "."]
RUN ["python", "-m", "venv", "/opt/pyserve"]
RUN ["/opt/pyserve/bin/pip", "install", "--no-cache-dir", "--no-index", "--find-links", "/wheels", "pyserve-http"]

FROM python:3.13-slim
COPY --from=build /opt/pyserve /opt/pyserve
ENV PATH=/opt/pyserve/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# By number, so that Kubernetes' runAsNonRoot can tell.
USER 10001:10001
EXPOSE 8000
# The exec form: pyserve is process 1 itself and gets the signals, not a shell.
ENTRYPOINT ["pyserve"]
CMD ["--help"]
