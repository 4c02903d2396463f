"""A receiver of webhooks with nothing but Python: it prints who wrote what.

WEBHOOK_SECRET=whsec_… python docs/examples/webhook_receiver.py 9000
"""

from __future__ import annotations

import hmac
import json
import os
import sys
import time
from base64 import b64decode, b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
TOLERATED_SECONDS = 300
MOST_BYTES = 1 << 20

seen: set[str] = set()
"""The ids that came already. A real program keeps them for some days, in its database."""


def is_ours(event_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    """Whether our server signed this, and just now."""
    signed = b".".join([event_id.encode(), timestamp.encode(), body])
    expected = "v1," + b64encode(hmac.digest(KEY, signed, "sha256")).decode()
    good = any(
        hmac.compare_digest(expected.encode(), one.encode()) for one in signatures.split(" ")
    )
    return good and abs(time.time() - float(timestamp)) < TOLERATED_SECONDS


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what is ours, 401 to all else."""

    timeout = 10

    def do_POST(self) -> None:
        """Take one event."""
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(min(length, MOST_BYTES))
        event_id = self.headers.get("webhook-id", "")
        timestamp = self.headers.get("webhook-timestamp", "")
        signatures = self.headers.get("webhook-signature", "")
        if not is_ours(event_id, timestamp, signatures, body):
            self.send_error(401)
            return
        if event_id not in seen:
            seen.add(event_id)
            tell(json.loads(body))
        self.send_response(204)
        self.end_headers()


def tell(event: dict[str, Any]) -> None:
    """Do something with it: here, print a line."""
    data = event["data"]
    name = data["author"]["full_name"] if "author" in data else "Talkee Lite"
    print(f"{event['type']}: {name} wrote {data['text']!r}, see {data.get('address')}", flush=True)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
