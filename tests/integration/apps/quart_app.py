"""A Quart application."""

from quart import Quart, Response, jsonify, request, session

app = Quart(__name__)
app.secret_key = "only for tests"


@app.before_serving
async def open_something():
    app.config["OPENED"] = True


@app.get("/")
async def index():
    return jsonify(framework="quart", opened=app.config["OPENED"])


@app.post("/echo")
async def echo():
    session["seen"] = True
    return Response(await request.get_data(), mimetype="application/octet-stream")


@app.get("/session")
async def get_session():
    return jsonify(seen=session.get("seen", False))


@app.get("/stream")
async def stream():
    async def lines():
        for number in range(100):
            yield f"line {number}\n"

    return Response(lines(), mimetype="text/plain")
