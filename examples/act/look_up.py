"""Offer help to a visitor who will probably leave: the shop's page asks this service at each click."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote
from urllib.request import Request, urlopen

LOOK_UP = os.environ.get("LOOK_UP_URL", "http://127.0.0.1:8700")
TOKEN = os.environ.get("CLICKSTREAM_LOOKUP_TOKEN", "")


def offer(session_id):
    """What the page shows this visitor now."""
    url = f"{LOOK_UP}/v1/sessions/{quote(session_id, safe='')}?reasons=1"
    try:
        with urlopen(Request(url, headers={"Authorization": f"Bearer {TOKEN}"}), timeout=0.5) as answer:
            session = json.load(answer)
    except OSError:  # nothing is open, or no answer in time: a page never waits for an offer
        return {"help": False}
    predictions = session["predictions"]  # None where the beginning of the session is not known
    leaves = bool(predictions) and session["clicks"] >= 3 and predictions["batch"]["conversion"] < 0.2
    reasons = session["reasons"] and session["reasons"]["batch"]
    return {"help": leaves, "because": reasons["strongest"] if leaves and reasons else []}


class Page(BaseHTTPRequestHandler):
    """GET /offer/SESSION"""

    def do_GET(self):
        body = json.dumps(offer(unquote(self.path.removeprefix("/offer/")))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8800"))), Page).serve_forever()
