"""Where SQLite and PostgreSQL differ: INSERT … ON CONFLICT, and locks that SQLite need not have."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Row, Table, bindparam, func, select, text
from sqlalchemy.dialects import postgresql, sqlite


def for_each(build: Callable[[Any], Executable]) -> Mapping[str, Executable]:
    """The statement that `build` makes with a dialect's `insert`, by the dialect's name."""
    return {"postgresql": build(postgresql.insert), "sqlite": build(sqlite.insert)}


def insert_lot(
    table: Table, *, number: str, unique: Sequence[str]
) -> Callable[[Connection, Sequence[Mapping[str, Any]]], Sequence[Row[Any]]]:
    """Inserts many rows, in their order, and returns the `unique` columns of those that are new.

    `number` is the column that the database counts. PostgreSQL gets one array for each column:
    one statement whatever the number of rows. It takes them sorted, so that two transactions with
    the same rows wait for each other in one order, and numbers them as they were given.
    """
    plain = (
        sqlite.insert(table)
        .on_conflict_do_nothing(index_elements=unique)
        .returning(*(table.c[name] for name in unique))
    )
    columns = [column for column in table.c if column.name != number]
    names, keys = ", ".join(column.name for column in columns), ", ".join(unique)
    arrays = ", ".join(f":{column.name}" for column in columns)
    lot = text(
        f"INSERT INTO {table.name} ({number}, {names}) SELECT * FROM ("
        f"SELECT nextval(pg_get_serial_sequence('{table.name}', '{number}')), {names}"
        f" FROM unnest({arrays}) WITH ORDINALITY AS given({names}, place) ORDER BY place"
        f") AS numbered ORDER BY {keys} ON CONFLICT ({keys}) DO NOTHING RETURNING {keys}"
    ).bindparams(*(bindparam(c.name, type_=postgresql.ARRAY(c.type)) for c in columns))

    def insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Sequence[Row[Any]]:
        if connection.dialect.name == "sqlite":
            return connection.execute(plain, rows).all()
        given = {column.name: [row.get(column.name) for row in rows] for column in columns}
        return connection.execute(lot, given).all()

    return insert


_SOMETHING = text("SELECT pg_logical_emit_message(true, 'order_rescue', 'known')")


def write_something(connection: Connection) -> None:
    """Have this commit wait for a synchronous standby, and so for all that was committed before.

    One that wrote nothing does not wait, and what it found may be on the primary alone: a commit
    that was given up while the standby was away can be seen there.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_SOMETHING)


def alone(connection: Connection, lock: int) -> bool:
    """Whether no other transaction has this lock; it is ours until the end of this one."""
    if connection.dialect.name == "sqlite":
        return True  # there is one writer
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(lock))))
