"""A schema registry for tests: Confluent's REST interface, read only. Enters: schemas by id; leaves: its address."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

HOST: Final = "127.0.0.1"


@contextmanager
def registry(schemas: Mapping[int, str]) -> Iterator[str]:
    """Address of a schema registry (Confluent's REST interface) that knows these schemas by id."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = re.fullmatch(r"/schemas/ids/(\d+)", self.path)
            known = schemas.get(int(asked[1])) if asked else None
            answer = {"error_code": 40403, "message": "Schema not found"} if known is None else {"schema": known}
            body = json.dumps(answer).encode()
            self.send_response(404 if known is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Keep the test's output quiet."""

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
