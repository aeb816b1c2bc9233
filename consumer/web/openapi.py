"""The OpenAPI 3.1 document, built from the models that the calls validate and answer with."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic.json_schema import models_json_schema

from consumer.web.openapi_models import REJECTION_ERROR, SCHEMAS
from consumer.web.openapi_paths import paths
from schemas.outcomes import PurchaseView
from schemas.requests import (
    CREATE_ONLY,
    UPDATABLE,
    CancelRequest,
    ConfirmationRequest,
    CorrectionsRequest,
    DecisionRequest,
    ForgetRequest,
    PurchaseRequest,
    RejectionReport,
    ReturnRequest,
    SourceRequest,
)

Json = dict[str, Any]
REQUESTS = (
    *(PurchaseRequest, SourceRequest, CorrectionsRequest, ConfirmationRequest),
    *(ReturnRequest, CancelRequest, DecisionRequest, RejectionReport, ForgetRequest),
)


def document() -> bytes:
    """The document as JSON."""
    return json.dumps(described(), indent=1).encode()


def described() -> Json:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Order Rescue",
            "version": _version(),
            "description": "Exactly one order for a shopper who meant to buy, or a clear "
            "reason why not. Problems are RFC 9457 documents; fields are named by path, values "
            "are never repeated. Bodies: at most 1 MiB and 64 levels, no NUL characters.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Scopes: `shop` (purchases, payment-session, events), `read` "
                    "(every GET but payment-session), `operator` (everything).",
                }
            },
        },
        "security": [{"token": []}],
    }


def _version() -> str:
    try:
        return version("order-rescue")
    except PackageNotFoundError:  # run from a folder, not installed
        return "0"


def _schemas() -> Json:
    models = [(model, "validation") for model in REQUESTS] + [(PurchaseView, "serialization")]
    _, schema = models_json_schema(
        models,  # type: ignore[arg-type]  # the mode is a literal, which a list literal widens
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    found: Json = schema["$defs"]
    # Three rules that the models keep in code.
    fields = found["CorrectionsRequest"]["properties"]["checkout"]
    fields["propertyNames"] = {"enum": sorted(UPDATABLE | CREATE_ONLY)}
    names = sorted(found["ForgetRequest"]["properties"])
    found["ForgetRequest"]["oneOf"] = [
        {"required": [name], "properties": {name: {"type": "string"}}}
        | {"properties": {n: {"type": "string" if n == name else "null"} for n in names}}
        for name in names
    ]
    found["DecisionRequest"] |= {
        "if": {"properties": {"decision": {"const": "adopt_order"}}, "required": ["decision"]},
        "then": {"properties": {"orderId": {"type": "string"}}, "required": ["orderId"]},
    }
    # Read tolerantly: whatever an error body may look like is taken (PLATFORM §2.12).
    found["RejectionReport"]["properties"]["error"] = REJECTION_ERROR
    return {**found, **SCHEMAS}
