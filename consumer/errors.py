"""What the platform's answers mean for whoever called: repeat, do not repeat, or look first."""

from __future__ import annotations

from schemas.results import PlatformProblem


class PlatformError(Exception):
    """A call to the platform did not bring what was asked for.

    `status` is the HTTP status, or None when no answer arrived; `errors` are the platform's own
    words, kept for decisions and the timeline. `str()` and `repr()` name the kind, the status, a
    reason of ours and the platform's request id: no code, no message, no secret (I8).
    """

    kind = "failed"

    def __init__(
        self,
        *,
        status: int | None = None,
        errors: tuple[PlatformProblem, ...] = (),
        request_id: str | None = None,
        reason: str = "",
    ) -> None:
        self.status = status
        self.errors = errors
        self.request_id = request_id
        self.reason = reason
        super().__init__(self._text())

    def _text(self) -> str:
        status = "no answer" if self.status is None else f"status {self.status}"
        text = f"platform call {self.kind}: {status}"
        text += f", {self.reason}" if self.reason else ""
        return text + (f", request {self.request_id}" if self.request_id else "")


class Rejected(PlatformError):
    """The platform said no. Do not repeat as is."""

    kind = "rejected"
    status: int

    def __init__(
        self,
        *,
        status: int,
        errors: tuple[PlatformProblem, ...] = (),
        request_id: str | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(status=status, errors=errors, request_id=request_id, reason=reason)


class Unavailable(PlatformError):
    """Not processed. Repeat later.

    `retry_after` is the number of seconds the platform asked us to wait, or None.
    """

    kind = "not processed"

    def __init__(
        self,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        errors: tuple[PlatformProblem, ...] = (),
        request_id: str | None = None,
        reason: str = "",
    ) -> None:
        self.retry_after = retry_after
        super().__init__(status=status, errors=errors, request_id=request_id, reason=reason)


class OutcomeUnknown(PlatformError):
    """May have been processed. Look before repeating."""

    kind = "has an unknown outcome"
