"""Request bodies: which fields a call knows, and of which JSON type they are."""

import json
from collections.abc import Mapping
from typing import Any

from .errors import Refusal, invalid, missing, unknown

TEXT, OBJECT, LIST, FLAG, NUMBER, ANY = "text", "object", "list", "flag", "number", "any"
PYTHON: dict[str, tuple[type, ...]] = {
    TEXT: (str,),
    OBJECT: (dict,),
    LIST: (list,),
    FLAG: (bool,),
    NUMBER: (int, float),
}
LARGEST = 10**9
MAX_METADATA, MAX_KEY, MAX_VALUE = 20, 40, 500


def parse(raw: bytes) -> dict[str, Any]:
    """The body of a call as an object; an empty body is an empty object."""
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "invalid_format", "The request body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise Refusal(400, "invalid_format", "The request body is not a JSON object.")
    return body


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def check(body: Mapping[str, Any], known: Mapping[str, str]) -> None:
    """Raises `unknown_parameter` or `invalid_parameter`; null clears a field and always passes."""
    for name, value in body.items():
        if name not in known:
            raise unknown(name)
        kind = known[name]
        if value is None or kind == ANY:
            continue
        wrong_flag = isinstance(value, bool) and kind != FLAG
        if wrong_flag or not isinstance(value, PYTHON[kind]):
            raise invalid(name, f"'{name}' has the wrong type.")
        if isinstance(value, int | float) and abs(value) > LARGEST:
            raise Refusal(400, "amount_too_large", f"'{name}' is too large.", name)


def check_metadata(metadata: object) -> None:
    """PLATFORM §1.3."""
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise invalid("metadata", "'metadata' has the wrong type.")
    if len(metadata) > MAX_METADATA:
        raise Refusal(400, "too_many_metadata_pairs", "Too many metadata pairs.", "metadata")
    for key, value in metadata.items():
        if len(key) > MAX_KEY:
            raise Refusal(400, "invalid_metadata_key", "The metadata key is too long.", "metadata")
        if not isinstance(value, str | int | float) or len(str(value)) > MAX_VALUE:
            message = "The metadata value is not valid."
            raise Refusal(400, "invalid_metadata_value", message, "metadata")


def check_place(name: str, place: object) -> None:
    """`shipTo`, `billTo`, `shipFrom`, `owner`: an object whose address holds texts."""
    if place is None:
        return
    if not isinstance(place, dict):
        raise invalid(name, f"'{name}' has the wrong type.")
    address = place.get("address")
    if address is None:
        return
    if not isinstance(address, dict):
        raise invalid(f"{name}.address", f"'{name}.address' has the wrong type.")
    for part, value in address.items():
        if value is not None and not isinstance(value, str):
            raise invalid(f"{name}.address.{part}", f"'{name}.address.{part}' has the wrong type.")


def text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        raise missing(name)
    if not isinstance(value, str):
        raise invalid(name, f"'{name}' has the wrong type.")
    return value


def check_discount(discount: object) -> None:
    if not isinstance(discount, dict):
        return
    percent, amount = discount.get("percentOff"), discount.get("amountOff")
    if percent is not None and not (_number(percent) and 0.01 <= percent <= 100):
        message = "The value must be an integer between 0.01 and 100.00 inclusive."
        raise Refusal(400, "invalid_discount_percent", message, "discount")
    if amount is not None and not (_number(amount) and 0 < amount <= LARGEST):
        message = f"The value {amount} is not permitted."
        raise Refusal(400, "invalid_discount_amount", message, "discount")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
