"""The platform's refusals, in the envelope of PLATFORM §2.12."""

from typing import Any

TYPES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    409: "conflict",
    429: "too_many_requests",
    500: "internal_server_error",
    502: "bad_gateway",
    503: "service_unavailable",
    504: "gateway_timeout",
}


def envelope(
    status: int,
    code: str | None,
    message: str | None,
    parameter: str | None = None,
    kind: str | None = None,
) -> dict[str, Any]:
    error = {"code": code, "parameter": parameter, "message": message}
    return {
        "type": kind or TYPES.get(status, "bad_request"),
        "errors": [{name: value for name, value in error.items() if value is not None}],
    }


class Refusal(Exception):
    """The call is answered with an error and changes nothing (a declined submission apart)."""

    def __init__(
        self,
        status: int,
        code: str | None,
        message: str | None = None,
        parameter: str | None = None,
        kind: str | None = None,
    ) -> None:
        super().__init__(f"{status} {code} {parameter or ''}".strip())
        self.status = status
        self.code = code
        self.body = envelope(status, code, message, parameter, kind)


def missing(parameter: str) -> Refusal:
    return Refusal(400, "missing_parameter", "A parameter is missing.", parameter)


def invalid(parameter: str, message: str) -> Refusal:
    return Refusal(400, "invalid_parameter", message, parameter)


def unknown(parameter: str) -> Refusal:
    return Refusal(400, "unknown_parameter", f"'{parameter}' is an unknown parameter.", parameter)


def not_found(parameter: str, message: str) -> Refusal:
    return Refusal(404, "not_found", message, parameter)


def session_closed() -> Refusal:
    return Refusal(
        409,
        "session_update_not_allowed",
        "Updating source is not allowed for the current session state.",
    )


def reauthorization_failed() -> Refusal:
    """No `type`, and `description` for `message` (PLATFORM A.1)."""
    refusal = Refusal(409, "payment_authorization_failed")
    text = "Fulfillment cannot be processed because the payment authorization has expired"
    error = {"code": refusal.code, "parameter": "orderId", "description": text}
    refusal.body = {"errors": [error]}
    return refusal
