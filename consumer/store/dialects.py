"""Where SQLite and PostgreSQL differ: INSERT … ON CONFLICT, and locks that SQLite need not have."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Dialect,
    Executable,
    Row,
    Select,
    String,
    Table,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite


def for_each(build: Callable[[Any], Executable]) -> Mapping[str, Executable]:
    """The statement that `build` makes with a dialect's `insert`, by the dialect's name."""
    return {"postgresql": build(postgresql.insert), "sqlite": build(sqlite.insert)}


SQLITE_ROWS = 500  # in one statement, which may have 32,766 values
Rows = Sequence[Mapping[str, Any]]


def insert_lot(
    table: Table, *, number: str | None = None, unique: Sequence[str], returning: Sequence[str] = ()
) -> Callable[[Connection, Rows], Sequence[Row[Any]]]:
    """Inserts many rows, in their order, and returns those that are new.

    Of them the `unique` columns, and those `returning`.

    `number` is the column that the database counts. PostgreSQL gets one array for each column:
    one statement whatever the number of rows. It takes them sorted, so that two transactions with
    the same rows wait for each other in one order, and numbers them as they were given.
    """
    columns = [column for column in table.c if column.name != number]
    names, keys = ", ".join(column.name for column in columns), ", ".join(unique)
    told = ", ".join((*unique, *returning))
    places = f"({', '.join('?' * len(columns))})"
    arrays = ", ".join(f":{column.name}" for column in columns)
    counted = f"nextval(pg_get_serial_sequence('{table.name}', '{number}')), " if number else ""
    lot = text(
        f"INSERT INTO {table.name} ({number + ', ' if number else ''}{names}) SELECT * FROM ("
        f"SELECT {counted}{names}"
        f" FROM unnest({arrays}) WITH ORDINALITY AS given({names}, place) ORDER BY place"
        f") AS numbered ORDER BY {keys} ON CONFLICT ({keys}) DO NOTHING RETURNING {told}"
    ).bindparams(*(bindparam(c.name, type_=postgresql.ARRAY(c.type)) for c in columns))

    def insert(connection: Connection, rows: Rows) -> Sequence[Row[Any]]:
        if connection.dialect.name == "sqlite":
            lots = (rows[at : at + SQLITE_ROWS] for at in range(0, len(rows), SQLITE_ROWS))
            return [row for some in lots for row in plain(connection, some)]
        given = {column.name: [row.get(column.name) for row in rows] for column in columns}
        return connection.execute(lot, given).all()

    def plain(connection: Connection, rows: Rows) -> Sequence[Row[Any]]:
        """As text, with the types' own converters: to compile it anew took as long as to run it."""
        statement = (
            f"INSERT INTO {table.name} ({names}) VALUES {', '.join([places] * len(rows))}"
            f" ON CONFLICT ({keys}) DO NOTHING RETURNING {told}"
        )
        converted = _converters(columns, connection.dialect)
        values = [convert(row.get(name)) for row in rows for name, convert in converted]
        return connection.exec_driver_sql(statement, tuple(values)).all()

    return insert


def _converters(
    columns: Sequence[Column[Any]], dialect: Dialect
) -> list[tuple[str, Callable[[Any], Any]]]:
    """Of each column its name, and what makes a driver's value of ours."""
    found = ((c.name, c.type.dialect_impl(dialect).bind_processor(dialect)) for c in columns)
    return [(name, convert or _as_it_is) for name, convert in found]


def _as_it_is(value: Any) -> Any:
    return value


def update_lot(
    table: Table, *, where: Sequence[str], values: Sequence[str]
) -> Callable[[Connection, Rows], int]:
    """Changes many rows in one statement and returns how many there were.

    Each given row names the columns `where` as `of_<column>`, as they are now, and all `values`.
    """
    plain = (
        update(table)
        .where(*(table.c[name] == bindparam(f"of_{name}") for name in where))
        .values({name: bindparam(name) for name in values})
    )
    columns = {f"of_{name}": table.c[name] for name in where} | {n: table.c[n] for n in values}
    arrays = ", ".join(f":{name}" for name in columns)
    matches = " AND ".join(f"{table.name}.{name} = given.of_{name}" for name in where)
    lot = text(
        f"UPDATE {table.name} SET {', '.join(f'{name} = given.{name}' for name in values)}"
        f" FROM unnest({arrays}) AS given({', '.join(columns)}) WHERE {matches}"
    ).bindparams(*(bindparam(n, type_=postgresql.ARRAY(c.type)) for n, c in columns.items()))

    def change(connection: Connection, rows: Rows) -> int:
        if not rows:
            return 0
        if connection.dialect.name == "sqlite":
            return connection.execute(plain, rows).rowcount
        given = {name: [row.get(name) for row in rows] for name in columns}
        return connection.execute(lot, given).rowcount

    return change


Found = CursorResult[*tuple[Any, ...]]
Test = Callable[[ColumnElement[Any]], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Lot:
    """Many values as one parameter, in a statement: those that a column `has`, or `lacks`."""

    has: Test
    lacks: Test


def _array(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return bindparam("lot", type_=postgresql.ARRAY(column.type))


_LOTS = {
    "postgresql": Lot(
        lambda column: column == func.any(_array(column)),
        lambda column: column != func.all(_array(column)),
    ),
    "sqlite": Lot(lambda column: column.in_(_listed()), lambda column: column.not_in(_listed())),
}


def _listed() -> Select[Any]:
    lot = func.json_each(bindparam("lot", type_=String)).table_valued("value")
    return select(lot.c.value)


def lookup(build: Callable[[Lot], Executable]) -> Callable[..., Found]:
    """A statement about many values, the same one however many those are.

    `build` gets the values as a `Lot`. The result is called with a connection, the values, and
    the statement's other parameters.
    """
    statements = {name: build(lot) for name, lot in _LOTS.items()}

    def run(connection: Connection, lot: Collection[Any], **values: Any) -> Found:
        name = connection.dialect.name
        given = json.dumps(list(lot)) if name == "sqlite" else list(lot)
        return connection.execute(statements[name], {"lot": given, **values})

    return run


def lock_in_order(connection: Connection, column: Column[str], values: Sequence[str]) -> None:
    """Lock these rows before they are changed, as everybody does who locks several: by rising id.

    An UPDATE of many takes them as its plan goes.
    """
    if connection.dialect.name == "postgresql" and len(values) > 1:
        rows = select(column).where(column == func.any(_array(column))).order_by(column)
        connection.execute(rows.with_for_update(key_share=True), {"lot": list(values)})


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
