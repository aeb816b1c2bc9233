"""The bare Starlette 202: reads the body, keeps nothing."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def receive(request: Request) -> Response:
    await request.body()
    return Response(status_code=202)


async def ready(_request: Request) -> Response:
    return Response()


app = Starlette(
    routes=[
        Route("/webhooks/digital-river", receive, methods=["POST"]),
        Route("/readyz", ready),
    ]
)

if __name__ == "__main__":
    # As the service has it: httptools and uvloop, no access log.
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
    )
