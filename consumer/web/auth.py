"""Bearer tokens and their scopes."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.requests import Request

from consumer.settings.values import Token
from consumer.web.problems import Problem

# DESIGN: shop = purchases, payment-session, events; read = GETs except payment-session.
SHOP = frozenset({"shop", "operator"})
READ = frozenset({"read", "operator"})
ANY = frozenset({"shop", "read", "operator"})
OPERATOR = frozenset({"operator"})


def authenticated(request: Request, tokens: Sequence[Token]) -> Token:
    """The token that the request carries. Raises Problem 401.

    It is compared with every token, so that time does not tell how far a guess came.
    """
    headers = request.headers.getlist("authorization")
    scheme, _, given = (headers[0] if len(headers) == 1 else "").strip().partition(" ")
    candidate = given.strip().encode("latin-1", "replace")
    matches = [hmac.compare_digest(candidate, _secret(token)) for token in tokens]
    if scheme.lower() != "bearer" or not candidate or not any(matches):
        raise Problem(
            401,
            "a valid bearer token is required",
            headers={"WWW-Authenticate": 'Bearer realm="order-rescue"'},
        )
    return tokens[matches.index(True)]


def _secret(token: Token) -> bytes:
    return token.secret.get_secret_value().encode()


def require(token: Token, scopes: frozenset[str]) -> None:
    """Raises Problem 403 naming the scopes that would do."""
    if token.scope not in scopes:
        needed = " or ".join(sorted(scopes))
        raise Problem(403, f"this call needs a token of scope {needed}")
