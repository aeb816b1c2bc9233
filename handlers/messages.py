"""What shoppers read. Our own short texts: never a code, a reason of the bank or of the platform.

PLATFORM §5.12. Fraud, blocked and exhausted read the same (I8).
"""

TEXTS = {
    "payment.required": "Please choose how you want to pay.",
    "payment.incomplete": "Your payment does not cover the whole amount yet.",
    "payment.declined": "We could not take payment. Please try another method.",
    "payment.check_details": "We could not take payment. Please check what you typed, "
    "or try another method.",
    "payment.choose_another": "This payment method can't be used for this order. "
    "Please choose another one.",
    "payment.source_gone": "This payment method is no longer available. Please choose another one.",
    "payment.source_expired": "This card has expired. Please choose another payment method.",
    "payment.credit_refused": "Your store credit could not be used for this order. "
    "Please choose how you want to pay.",
    "payment.confirm_with_bank": "Your bank wants you to confirm this payment.",
    "payment.redirect": "Please complete your payment at your provider.",
    "payment.instructions": "Please complete your payment with the instructions shown.",
    "checkout.correct": "Some of your details are missing or can't be used. Please check them.",
    "checkout.confirm_total": "Please confirm the total of your order.",
    "order.checking": "We are checking your order.",
    "order.processing": "Thank you. We are processing your order.",
    "order.accepted": "Thank you for your order.",
    "order.failed": "We could not complete your order.",
    "order.cancelled": "Your order was cancelled.",
    "order.expired": "Your order has expired.",
}


def text(key: str) -> str:
    """The English text of a message."""
    return TEXTS[key]
