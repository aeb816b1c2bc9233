"""Webhook endpoints as resources, and how a delivery is signed (PLATFORM §6.5, §6.7)."""

import base64
import hashlib
import hmac
from datetime import datetime

from .clock import fine_stamp, stamp
from .errors import invalid, missing, not_found
from .fields import FLAG, LIST, OBJECT, TEXT, check, text
from .model import Json, Webhook
from .settings import Settings
from .world import World

FIELDS = {
    "types": LIST, "type": TEXT, "apiVersion": TEXT, "enabled": FLAG, "address": TEXT,
    "transportType": TEXT, "oauth": OBJECT, "authentication": OBJECT,
}  # fmt: skip
SECRET = "whsec_sandbox"


def find(world: World, live: bool, webhook_id: str) -> Webhook:
    webhook = world.webhooks.get(webhook_id)
    if webhook is None or webhook.live != live:
        raise not_found("id", f"Webhook '{webhook_id}' not found.")
    return webhook


def create(world: World, live: bool, body: Json, secrets: list[str] | None = None) -> Webhook:
    """No call shows or sets a secret; the sandbox's default one signs unless given."""
    check(body, FIELDS)
    types = body.get("types") or ([body["type"]] if body.get("type") else None)
    if not types:
        raise missing("types")
    moment = world.now()
    webhook = Webhook(
        id=world.new_id(),
        live=live,
        created=moment,
        updated=moment,
        types=types,
        address=text(body, "address"),
        secrets=secrets or [SECRET],
    )
    _change(webhook, body)
    world.webhooks[webhook.id] = webhook
    return webhook


def update(world: World, webhook: Webhook, body: Json) -> Webhook:
    """Enabling starts the count of failures anew."""
    check(body, FIELDS)
    webhook.types = body.get("types") or webhook.types
    webhook.address = body.get("address") or webhook.address
    _change(webhook, body)
    webhook.updated = world.now()
    return webhook


def _change(webhook: Webhook, body: Json) -> None:
    if not all(isinstance(one, str) for one in webhook.types):
        raise invalid("types", "'types' has the wrong type.")
    webhook.api_version = body.get("apiVersion") or webhook.api_version
    webhook.transport = body.get("transportType") or webhook.transport
    if "authentication" in body:
        webhook.authentication = body["authentication"]
    if body.get("enabled") is not None:
        webhook.enabled = body["enabled"]
        webhook.failures = 0


def view(webhook: Webhook) -> Json:
    shown: Json = {
        "id": webhook.id,
        "createdTime": stamp(webhook.created),
        "updatedTime": stamp(webhook.updated),
        "types": webhook.types,
        "address": webhook.address,
        "apiVersion": webhook.api_version,
        "enabled": webhook.enabled,
        "transportType": webhook.transport,
        "liveMode": webhook.live,
    }
    if webhook.authentication:
        shown["authentication"] = webhook.authentication
    return shown


def sign(secrets: list[str], raw: bytes, moment: datetime, settings: Settings) -> str:
    """`{timestamp}, {signature}`, and a second signature while two secrets are valid."""
    form = settings.signature_timestamp
    if form == "iso":
        when = fine_stamp(moment)
    else:
        seconds = moment.timestamp()
        when = str(int(seconds * 1000) if form == "ms" else int(seconds))
    used = secrets if settings.signature_rotation == "both" else secrets[:1]
    signed = when.encode() + b"." + raw
    signatures = [
        base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
        for secret in used
    ]
    return ", ".join([when, *signatures])


def basic(webhook: Webhook) -> tuple[str, str] | None:
    """The spec spells `username`, the docs' examples `userName` (PLATFORM §8 #34)."""
    given = webhook.authentication
    if not given:
        return None
    user = given.get("userName") or given.get("username") or ""
    return str(user), str(given.get("password") or "")
