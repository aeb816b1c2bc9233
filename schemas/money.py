"""Amounts of money. The platform sends JSON decimals in major units, with float noise."""

from decimal import ROUND_HALF_EVEN, Decimal

from pydantic import Field

from schemas.base import Strict

# ISO 4217 currencies whose minor unit is not a hundredth.
MINOR_DIGITS = {
    **dict.fromkeys(
        (
            *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX"),
            *("UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def minor_units(amount: float, currency: str) -> int:
    """The amount in the currency's minor unit: 53.769999999999996 EUR is 5377 (PLATFORM §1.3)."""
    scaled = Decimal(str(amount)).scaleb(MINOR_DIGITS.get(currency, 2))
    return int(scaled.to_integral_value(rounding=ROUND_HALF_EVEN))


class Money(Strict):
    """An amount in major units and its ISO 4217 currency."""

    amount: float = Field(ge=0, le=1e12, allow_inf_nan=False)
    currency: str = Field(pattern=r"^[A-Z]{3}$")

    def same_as(self, other: "Money") -> bool:
        """Whether both are the same number of minor units of the same currency."""
        return self.currency == other.currency and minor_units(
            self.amount, self.currency
        ) == minor_units(other.amount, other.currency)
