"""Currencies that the stand-in knows; `PAB` is real but not activated (PLATFORM A.1)."""

from .errors import Refusal

KNOWN = frozenset(
    "AED ARS AUD BGN BHD BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HRK HUF IDR ILS INR ISK "
    "JPY KRW KWD MAD MXN MYR NGN NOK NZD OMR PAB PEN PHP PLN QAR RON RSD RUB SAR SEK SGD THB TRY "
    "TWD UAH USD VND ZAR".split()
)
NOT_ACTIVATED = frozenset({"PAB"})


def check_currency(currency: str) -> None:
    if currency not in KNOWN:
        message = f"'{currency}' is not a valid currency."
        raise Refusal(409, "invalid_parameter", message, "currency", "bad_request")
    if currency in NOT_ACTIVATED:
        message = f"Currency '{currency}' is not activated."
        raise Refusal(409, "currency_unactivated", message, "currency")
