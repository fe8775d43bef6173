"""Runs in a pod: an https server of the files in its folder, which can also refuse and hang."""

import http.server
import pathlib
import ssl
import sys
import time

FOLDER, CERTIFICATES, TOKEN = (sys.argv[1], sys.argv[2], sys.argv[3])


class Request(http.server.BaseHTTPRequestHandler):
    """One request: /hang… is never answered, /private/… is for who has the token."""

    def do_GET(self):
        """Answer, or not."""
        if self.path.startswith("/hang"):
            time.sleep(3600)
        wanted = f"Bearer {TOKEN}"
        if self.path.startswith("/private/") and self.headers.get("Authorization") != wanted:
            self.send_error(403)
            return
        file = pathlib.Path(FOLDER, pathlib.PurePosixPath(self.path).name)
        if not file.is_file():
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(file.stat().st_size))
        self.end_headers()
        self.wfile.write(file.read_bytes())


class Server(http.server.ThreadingHTTPServer):
    """TLS is spoken in the thread of a request, so that no client holds up another."""

    def finish_request(self, request, client_address):
        """Speak TLS, then HTTP."""
        with context.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{CERTIFICATES}/tls.crt", f"{CERTIFICATES}/tls.key")
Server(("", 8443), Request).serve_forever()
