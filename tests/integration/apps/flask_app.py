"""A Flask application."""

import hashlib
import io
import os

from flask import Flask, Response, abort, jsonify, redirect, request, send_file, session, stream_with_context, url_for

app = Flask(__name__)
app.secret_key = "only for tests"
PAYLOAD = bytes(range(256)) * 1024


@app.get("/")
def index():
    return "hello"


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    session["visits"] = 0
    return redirect(url_for("account"))


@app.get("/account")
def account():
    if "user" not in session:
        abort(403)
    session["visits"] += 1
    return jsonify(user=session["user"], visits=session["visits"])


@app.post("/logout")
def logout():
    session.clear()
    return "", 204


@app.get("/stream")
def stream():
    @stream_with_context
    def lines():
        for number in range(int(request.args["lines"])):
            yield f"{request.path} {number}\n"

    return Response(lines(), mimetype="text/plain")


@app.post("/upload")
def upload():
    """A file of a form: werkzeug spools it, and reads in pieces of its own."""
    file = request.files["file"]
    return jsonify(name=file.filename, **digest(file.stream))


@app.put("/raw")
def raw():
    return jsonify(length=request.content_length, **digest(request.stream))


def digest(stream):
    seen, size = hashlib.sha256(), 0
    while block := stream.read(100_000):
        seen.update(block)
        size += len(block)
    return {"size": size, "sha256": seen.hexdigest()}


@app.get("/file")
def file():
    return send_file(os.path.abspath("payload"), mimetype="application/octet-stream", conditional=True)


@app.get("/memory")
def memory():
    return send_file(io.BytesIO(PAYLOAD), mimetype="application/octet-stream", download_name="memory.bin")


@app.post("/json")
def json():
    return jsonify(request.get_json())


@app.get("/environ")
def environ():
    return jsonify(
        url=request.url, root=request.root_url, address=request.remote_addr, headers=dict(request.headers.items())
    )


@app.get("/fail")
def fail():
    raise LookupError("what Flask answers with 500")


@app.after_request
def add_header(response):
    response.headers["X-After"] = "yes"
    return response
