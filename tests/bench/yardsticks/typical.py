"""A webhook receiver as one would write it from FastAPI's and SQLAlchemy's own pages.

One session and one commit for each request; PostgreSQL through asyncpg, SQLite in the thread pool.
"""

import base64
import hashlib
import hmac
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import JSON, DateTime, String, create_engine, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

PORT, URL, SECRET = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Base(DeclarativeBase):
    pass


class StoredEvent(Base):
    __tablename__ = "events"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    type: Mapped[str] = mapped_column(String(255))
    received: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    data: Mapped[dict[str, Any]] = mapped_column(JSON().with_variant(JSONB, "postgresql"))


class Event(BaseModel):
    id: str
    type: str
    createdTime: datetime  # the platform's name
    data: dict[str, Any]


async def verified(request: Request, digitalriver_signature: Annotated[str, Header()]) -> None:
    stamp, _, given = digitalriver_signature.partition(", ")
    payload = stamp.encode() + b"." + await request.body()
    digest = hmac.new(SECRET.encode(), payload, hashlib.sha256).digest()
    if not hmac.compare_digest(base64.b64encode(digest).decode(), given):
        raise HTTPException(401)


def row(event: Event) -> StoredEvent:
    return StoredEvent(id=event.id, type=event.type, received=datetime.now(UTC), data=event.data)


if URL.startswith("sqlite"):
    app = FastAPI()
    engine = create_engine(URL)

    @event.listens_for(engine, "connect")
    def durable(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    sessions = sessionmaker(engine)
    Base.metadata.create_all(engine)

    def session() -> Iterator[Session]:
        with sessions() as found:
            yield found

    @app.post("/webhooks/digital-river", status_code=202, dependencies=[Depends(verified)])
    def receive(event: Event, found: Annotated[Session, Depends(session)]) -> None:
        found.add(row(event))
        try:
            found.commit()
        except IntegrityError:
            found.rollback()  # it was there before

else:
    async_engine = create_async_engine(URL.replace("postgresql:", "postgresql+asyncpg:"))
    async_sessions = async_sessionmaker(async_engine)

    @asynccontextmanager
    async def with_tables(_app: FastAPI) -> AsyncIterator[None]:
        async with async_engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield

    app = FastAPI(lifespan=with_tables)

    async def async_session() -> AsyncIterator[AsyncSession]:
        async with async_sessions() as found:
            yield found

    @app.post("/webhooks/digital-river", status_code=202, dependencies=[Depends(verified)])
    async def receive_async(
        event: Event, found: Annotated[AsyncSession, Depends(async_session)]
    ) -> None:
        found.add(row(event))
        try:
            await found.commit()
        except IntegrityError:
            await found.rollback()  # it was there before


@app.get("/readyz")
async def ready() -> None:
    return None


if __name__ == "__main__":
    uvicorn.run(app, port=PORT, access_log=False, log_level="warning")
