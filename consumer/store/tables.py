"""The tables. The migrations make them; a test holds both against each other."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

metadata = MetaData()
# SQLite only gives rising row numbers to INTEGER, PostgreSQL runs out of them.
RowNumber = BigInteger().with_variant(Integer, "sqlite")


class Instant(TypeDecorator[datetime]):
    """An aware UTC time; SQLite would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None


inbox = Table(
    "inbox",
    metadata,
    Column("seq", RowNumber, primary_key=True, autoincrement=True),
    Column("origin", String(16), nullable=False),
    Column("id", String(1200), nullable=False),
    Column("transport", String(16), nullable=False),
    Column("type", String(255), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("status", String(8), nullable=False),
    Column("reason", String(255)),
    Column("purchase_id", String(64)),
    Column("trace", String(55)),
    UniqueConstraint("origin", "id"),
    Index("inbox_status", "status", "seq"),
    Index("inbox_transport", "transport", "seq"),
    Index("inbox_purchase", "purchase_id", "status", "seq"),
    sqlite_autoincrement=True,
)

# Identity keys under which a parked fact waits for its purchase.
waiting = Table(
    "waiting",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("value", String(255), nullable=False),
    Column("seq", RowNumber, nullable=False),
    PrimaryKeyConstraint("kind", "value", "seq"),
)

# Dead letters that are not on their topic yet. Without Kafka they stay here: it may come.
unannounced = Table(
    "unannounced",
    metadata,
    Column("seq", RowNumber, primary_key=True, autoincrement=False),
)

purchases = Table(
    "purchases",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("upstream_id", String(255), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("checkout_id", String(255), nullable=False),
    Column("order_id", String(255)),
    Column("version", Integer, nullable=False),
    Column("schema_number", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("purged_at", Instant),
    Index("purchases_state", "state", "id"),
    Index("purchases_upstream", "upstream_id"),
    Index(
        "purchases_unpurged",
        "id",
        postgresql_where=text("purged_at IS NULL"),
        sqlite_where=text("purged_at IS NULL"),
    ),
)

keys = Table(
    "keys",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("value", String(255), nullable=False),
    Column("purchase_id", String(64), nullable=False),
    PrimaryKeyConstraint("kind", "value"),
    Index("keys_purchase", "purchase_id"),
)

# What purchases share with others; an e-mail address is kept as its digest.
links = Table(
    "links",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("value", String(255), nullable=False),
    Column("purchase_id", String(64), nullable=False),
    PrimaryKeyConstraint("kind", "value", "purchase_id"),
    Index("links_purchase", "purchase_id"),
)

marks = Table(
    "marks",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("at", Instant, nullable=False),
)

# Purchases whose shopper was forgotten; their facts up to `clean_to` hold nothing personal.
forgotten = Table(
    "forgotten",
    metadata,
    Column("purchase_id", String(64), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("clean_to", RowNumber, nullable=False),
)

commands = Table(
    "commands",
    metadata,
    Column("seq", RowNumber, primary_key=True, autoincrement=True),
    Column("key", String(1000), nullable=False, unique=True),
    Column("purchase_id", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("status", String(8), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("due", Instant, nullable=False),
    Column("deadline", Instant),
    Column("epoch", Integer),
    Column("ended", Instant),
    Index("commands_due", "status", "due"),
    Index("commands_purchase", "purchase_id", "status", "seq"),
    sqlite_autoincrement=True,
)

decisions = Table(
    "decisions",
    metadata,
    Column("seq", RowNumber, primary_key=True, autoincrement=True),
    Column("purchase_id", String(64), nullable=False),
    Column("fact_seq", RowNumber, nullable=False),
    Column("at", Instant, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("rule", String(64), nullable=False),
    Column("source", String(64), nullable=False),
    Column("evidence", Text, nullable=False),
    Column("alternatives", Text, nullable=False),
    Index("decisions_purchase", "purchase_id", "seq"),
    sqlite_autoincrement=True,
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("purchase_id", String(64), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Column("body", Text, nullable=False),
    Index("outcomes_purchase", "purchase_id", "sequence"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("outcome_id", String(100), nullable=False),
    Column("sink", String(16), nullable=False),
    Column("purchase_id", String(64), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("status", String(8), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Instant, nullable=False),
    Column("reason", String(255)),
    PrimaryKeyConstraint("outcome_id", "sink"),
    Index("deliveries_due", "status", "due"),
    Index("deliveries_purchase", "purchase_id", "sink", "sequence"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("until", Instant, nullable=False),
)

# The processes that work on this database now, and the highest document number that each can read.
replicas = Table(
    "replicas",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("reads", Integer, nullable=False),
    Column("until", Instant, nullable=False),
)

# The processes that call the platform: calls a second that each may make, what it has a use for
# (for shoppers who wait, for the rest), and a number that changes whenever it renews its share.
shares = Table(
    "shares",
    metadata,
    Column("replica", String(64), primary_key=True),
    Column("rate", Float, nullable=False),
    Column("shoppers", Float, nullable=False),
    Column("others", Float, nullable=False),
    Column("beat", Integer, nullable=False),
)

bounds = Table(
    "bounds",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("number", Integer, nullable=False),
)
