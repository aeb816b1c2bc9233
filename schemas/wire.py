"""The event envelope that webhooks and the events API share (PLATFORM §2.11)."""

from datetime import datetime

from pydantic import Field

from schemas.base import JsonObject, Wire


class EventData(Wire):
    """The resource as it was when the event was made; a snapshot, not the truth (§6.2)."""

    object: JsonObject = Field(default_factory=dict)
    previous_attributes: JsonObject = Field(default_factory=dict)


class Envelope(Wire):
    """A platform event, or one of our own two. Only id, type, data and createdTime are sure."""

    id: str = Field(min_length=1, max_length=255)
    type: str = Field(min_length=1, max_length=255)
    data: EventData
    created_time: datetime
    live_mode: bool | None = None
