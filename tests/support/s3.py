"""An S3 of one's own on loopback.

Owns starting it, and a bucket in it. Does not own what is stored.
Invariant: it is gone when the block is left.
"""

from collections.abc import Generator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer

__all__ = ["BUCKET", "s3_running"]

BUCKET = "team"


@contextmanager
def s3_running() -> Generator[dict[str, str]]:
    """What the environment has to say, to reach it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        urlopen(Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=30).close()
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "of-no-one",
            "AWS_SECRET_ACCESS_KEY": "of-no-one",
            "AWS_REGION": "us-east-1",
        }
    finally:
        server.stop()
