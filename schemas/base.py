"""The two kinds of model: tolerant at the wire, strict inside."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

JsonObject = dict[str, Any]


class Wire(BaseModel):
    """What others send us. Unknown fields are ignored (PLATFORM §1.3, tolerant reader)."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class Strict(BaseModel):
    """What we store and answer. Unknown fields are errors; JSON names are camelCase."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )
