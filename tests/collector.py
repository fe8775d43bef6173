"""A collector of traces on loopback: an OTLP/HTTP server that keeps what it is sent."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        """Decode one request, or answer as the test wants."""
        collector = self.server.collector
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector.paths.append(self.path)
        if collector.answer == 200:
            collector.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(collector.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


class Collector:
    """Takes traces while the block runs, or refuses them with another ``answer``."""

    def __init__(self):
        self.paths, self.requests, self.answer = [], [], 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.collector = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.port = self._server.server_port

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self, name=None):
        """Return the spans that came, all or those of a name."""
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if name in {None, span.name}
        ]

    def resource(self):
        """Return what the sender says of itself."""
        return words(self.requests[0].resource_spans[0].resource.attributes)


def words(attributes):
    """Return attributes as a dictionary; those that are no texts are empty."""
    return {each.key: each.value.string_value for each in attributes}
