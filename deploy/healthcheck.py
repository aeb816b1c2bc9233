"""Whether the service of this container answers: `healthcheck.py [/healthz | /readyz]`.

Exit code 0 if it does with 200, else 1. Needs no package, so that it starts in a few milliseconds.
"""

import http.client
import os
import sys

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # listened on, but no address to call
SECONDS = 4.0  # less than the health check's own limit


def main(arguments: list[str]) -> int:
    host = os.environ.get("ORDER_RESCUE_HOST", "127.0.0.1")
    port = int(os.environ.get("ORDER_RESCUE_PORT", "8080"))
    connection = http.client.HTTPConnection(EVERYWHERE.get(host, host), port, timeout=SECONDS)
    try:
        connection.request("GET", arguments[0] if arguments else "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {type(error).__name__}", file=sys.stderr)
        return 1
    print(status)
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
