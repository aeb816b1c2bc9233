"""The event envelope that webhooks and the events API share (PLATFORM §2.11)."""

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from schemas.base import JsonObject, Wire


class EventData(Wire):
    """The resource as it was when the event was made; a snapshot, not the truth (§6.2)."""

    object: JsonObject = Field(default_factory=dict)
    # Null, or of another kind, it says no more than nothing; the event does all the same.
    previous_attributes: Annotated[
        JsonObject, BeforeValidator(lambda value: value if isinstance(value, dict) else {})
    ] = Field(default_factory=dict)

    @property
    def resource(self) -> JsonObject:
        """The resource, or what it was if it is gone (PLATFORM §6.1)."""
        return self.object or self.previous_attributes


class Envelope(Wire):
    """A platform event, or one of our own two. Only id, type, data and createdTime are sure."""

    id: str = Field(min_length=1, max_length=255)
    type: str = Field(min_length=1, max_length=255)
    data: EventData
    created_time: datetime
    live_mode: bool | None = None
