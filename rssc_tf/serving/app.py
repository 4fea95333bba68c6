"""The addresses of a server."""

import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated

from fastapi import APIRouter, FastAPI, File, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rssc_tf.serving.bodies import Bodies, BodyLimits
from rssc_tf.serving.errors import Refused, json_response, refusal
from rssc_tf.serving.hosts import TrustedHosts
from rssc_tf.serving.metrics import Metrics
from rssc_tf.serving.model import EXPLAIN, ServedModel
from rssc_tf.serving.rest import most_images
from rssc_tf.serving.service import Service
from rssc_tf.serving.work import WorkLimits
from rssc_tf.version import __version__

# Nothing from elsewhere, no inline code: a class or file name cannot become a script.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
}
_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def build_app(service: Service, hosts: frozenset[str] | None = None) -> FastAPI:
    """The application of a server; it is ready between start-up and shut-down.

    Args:
        service: what the addresses do, and within which limits.
        hosts: that requests may name, or `None` for any.

    Returns:
        The application; its `state.bodies` are the bodies of its requests.
    """
    limits = service.limits

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        async with service:
            yield

    app = FastAPI(
        title=f"rssc-tf: {service.model.name}",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _unprocessable)
    app.add_exception_handler(Exception, _failed)
    app.state.bodies = Bodies(limits)
    app.add_middleware(BodyLimits, bodies=app.state.bodies)
    app.add_middleware(WorkLimits, seconds=limits.request_seconds)
    app.add_middleware(TrustedHosts, hosts=hosts)
    app.add_middleware(_Count, metrics=service.metrics)
    _add_tensorflow_serving(app, service)
    _add_uploads(app, service)
    _add_operations(app, service)
    _add_page(app)
    return app


def _add_tensorflow_serving(app: FastAPI, service: Service) -> None:
    model = service.model

    def check(name: str, version: str | None) -> None:
        if name != model.name or version not in (None, model.version):
            asked = name if version is None else f"{name} version {version}"
            raise Refused(
                404, f"no model {asked[:200]!r}: this is {model.name!r} version {model.version}"
            )

    for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):

        @app.post(f"{path}:predict")
        async def predict(request: Request, name: str, version: str | None = None) -> Response:
            check(name, version)
            return json_response(await service.predict(await request.body()))

        @app.get(f"{path}/metadata")
        async def metadata(name: str, version: str | None = None) -> Response:
            check(name, version)
            return json_response(describe_metadata(model))

        @app.get(path)
        async def status(name: str, version: str | None = None) -> Response:
            check(name, version)
            fine = {"error_code": "OK", "error_message": ""}
            state = {"version": model.version, "state": "AVAILABLE", "status": fine}
            return json_response({"model_version_status": [state]})


def describe_metadata(model: ServedModel) -> dict:
    """The answer of TensorFlow Serving's metadata address."""
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
        "metadata": {"signature_def": {"signature_def": model.described}},
    }


class _UploadRoute(APIRoute):
    """Its form may have as many files as a request may have images (Starlette takes 1,000)."""

    def get_route_handler(self) -> Callable:
        handle = super().get_route_handler()

        async def read_form(request: Request) -> Response:
            limits = request.app.state.bodies.limits
            try:
                await request.form(max_files=limits.max_queue + 1)  # which it keeps
            except HTTPException as error:
                if str(error.detail).startswith("Too many files"):
                    raise Refused(413, f"too many images; {most_images(limits)}") from error
                raise
            return await handle(request)

        return read_form


def _add_uploads(app: FastAPI, service: Service) -> None:
    uploads = APIRouter(route_class=_UploadRoute)

    @uploads.post("/classify")
    async def classify(
        files: Annotated[list[UploadFile], File(description="Image files.")],
        preview: Annotated[bool, Query(description="Also a small JPEG of each image.")] = False,
    ) -> Response:
        sent = [(file.filename or "", await file.read()) for file in files]
        return json_response(
            {"model": service.model.name, "results": await service.classify(sent, preview)}
        )

    @uploads.post("/explain")
    async def explain(
        file: Annotated[UploadFile, File(description="An image file.")],
        class_name: Annotated[str, Query(alias="class", description="The class to explain.")],
    ) -> Response:
        return json_response(await service.explain(await file.read(), class_name))

    app.include_router(uploads)


def _add_operations(app: FastAPI, service: Service) -> None:
    model = service.model

    @app.get("/healthz")
    async def health() -> Response:
        if not service.alive:
            raise Refused(503, "the model's thread has ended")
        return json_response({"status": "ok"})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/info")
    async def info() -> Response:
        return json_response(
            {
                "model": model.name,
                "version": model.version,
                "classes": model.classes,
                "explain": EXPLAIN in model.signatures,
                "views": model.views,
                "max_bytes": service.limits.max_bytes,
                "rssc_tf": __version__,
            }
        )


def _add_page(app: FastAPI) -> None:
    folder = resources.files("rssc_tf.serving") / "page"
    for path, (name, kind) in _PAGE.items():
        app.add_api_route(path, _fixed((folder / name).read_bytes(), kind), include_in_schema=False)


def _fixed(content: bytes, kind: str) -> Callable:
    # No arguments: FastAPI would take them from the query, and a link could bring its own page.
    async def endpoint() -> Response:
        return Response(content, media_type=kind, headers=PAGE_HEADERS)

    return endpoint


async def _refused(request: Request, error: HTTPException) -> Response:
    return refusal(error)


async def _unprocessable(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return refusal(Refused(400, f"{where}: {first['msg']}"))


async def _failed(request: Request, error: Exception) -> Response:
    """The traceback is in the server's log; a client has no use for it."""
    return refusal(Refused(500, "the model failed on this request"))


class _Count:
    """ASGI middleware: requests by route and code, and how long they take."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, code = time.perf_counter(), 499  # the client left without an answer

        async def note(message):
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                message["headers"].append((b"x-content-type-options", b"nosniff"))
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception:
            code = 500
            raise
        finally:
            # The template, not the address: strangers must not be able to make up series.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(code)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
