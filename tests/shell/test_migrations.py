"""The migrations make exactly the tables that the store uses, once, whoever comes first."""

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine

from consumer.store.engine import StoreUnavailable
from consumer.store.lock import DatabaseInUse, database_file, exclusive
from consumer.store.migrate import (
    Migrated,
    SchemaUnknown,
    migrate,
    newest,
    rehearse,
    require_current,
)
from consumer.store.opening import open_engine, run_alone
from consumer.store.sqlite import sqlite_engine
from consumer.store.tables import metadata
from schemas.purchase import SCHEMA_NUMBER
from tests.services.postgres import Postgres

ROOT = Path(__file__).parents[2]
MIGRATE = """
import sys
from consumer.store.sqlite import sqlite_engine
from consumer.store.migrate import migrate
print(migrate(sqlite_engine(sys.argv[1])).before)
"""
HOLD = """
import sys
from pathlib import Path
from consumer.store.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = sqlite_engine(f"sqlite:///{tmp_path}/a.db")
    yield made
    made.dispose()


def schema(file: Path) -> dict[str, str]:
    """Every table and index by name, as SQL without its layout."""
    connection = sqlite3.connect(file)
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    ).fetchall()
    connection.close()
    ours = {name: sql for name, sql in rows if not name.startswith(("alembic", "sqlite"))}
    return {name: "".join(sql.replace('"', "").split()) for name, sql in ours.items()}


def test_the_migrated_tables_are_those_of_the_store(engine: Engine, tmp_path: Path) -> None:
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    direct = sqlite_engine(f"sqlite:///{tmp_path}/b.db")
    metadata.create_all(direct)
    direct.dispose()
    migrated, made = schema(tmp_path / "a.db"), schema(tmp_path / "b.db")
    # SQLite appends an added column to the text behind the constraints: `columns` compares those.
    assert {name: columns(sql) for name, sql in migrated.items()} == {
        name: columns(sql) for name, sql in made.items()
    }


def columns(sql: str) -> list[str]:
    """The parts of a table's or an index's text, in no order."""
    return sorted(part.strip("()") for part in re.split(r",(?![^(]*\))", sql.partition("(")[2]))


def test_the_tables_of_postgresql_are_those_of_the_store(postgres_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert run_alone(open_engine(postgres_url), differences) == []


def test_postgresql_processes_that_start_together_migrate_once(postgres: Postgres) -> None:
    url = postgres.fresh(migrated=False)
    with ThreadPoolExecutor(4) as threads:
        starts = [threads.submit(migrate, open_engine(url)) for _ in range(4)]
        before = [start.result().before for start in starts]
    assert sorted(before, key=str) == [newest()] * 3 + [None]
    postgres.drop(url)


def test_a_rehearsal_on_postgresql_leaves_no_trace(postgres: Postgres) -> None:
    url = postgres.fresh(migrated=False)
    assert rehearse(open_engine(url)) == Migrated(None, newest())
    assert postgres.do("SELECT * FROM pg_tables WHERE schemaname = 'public'", url) == []
    postgres.drop(url)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        migrate(open_engine("postgresql://nobody@127.0.0.1:9/nothing"))


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    assert migrate(engine) == Migrated(None, newest())
    assert migrate(engine) == Migrated(newest(), newest())


def test_a_rehearsal_leaves_no_trace(engine: Engine, tmp_path: Path) -> None:
    assert rehearse(engine) == Migrated(None, newest())
    assert schema(tmp_path / "a.db") == {}


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    sqlite_engine(url).connect().close()
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    before = [process.communicate(timeout=60)[0].strip() for process in starts]
    assert [process.returncode for process in starts] == [0, 0, 0]
    assert sorted(before) == [newest(), newest(), "None"]


def test_a_newer_databases_tables_will_do_as_long_as_they_say_so(database_url: str) -> None:
    def newer(connection: Connection, min_reader: int) -> None:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql(f"UPDATE bounds SET number = {min_reader}")

    engine = open_engine(database_url)
    run_alone(engine, lambda c: newer(c, SCHEMA_NUMBER))
    assert migrate(engine) == Migrated("9999", "9999")
    run_alone(engine, require_current)
    run_alone(engine, lambda c: newer(c, SCHEMA_NUMBER + 1))
    with pytest.raises(SchemaUnknown, match=rf"9999.*number {SCHEMA_NUMBER + 1}"):
        migrate(engine)
    with pytest.raises(SchemaUnknown, match="newer"):
        run_alone(engine, require_current)


def test_looking_into_a_database_without_tables_says_what_to_do(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(SchemaUnknown, match="migrate"):
        require_current(connection)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"something else entirely, and long enough to be read" * 50)
    engine = sqlite_engine(f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(StoreUnavailable, match="not a database"):
        migrate(engine)
    engine.dispose()


def test_the_migrations_are_part_of_the_installed_package() -> None:
    # Only folders with an __init__.py are packaged.
    versions = ROOT / "consumer" / "store" / "migrations" / "versions"
    assert [p for p in (versions, versions.parent) if not (p / "__init__.py").exists()] == []
    assert list(versions.glob("v*.py"))


def test_a_second_holder_is_refused_by_the_files_name_even_through_a_link(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    file.touch()
    (tmp_path / "link.db").symlink_to(file)
    with exclusive(file):
        with pytest.raises(DatabaseInUse, match=r"shop\.db is in use .*process \d+"):
            with exclusive(tmp_path / "link.db"):
                pass
    with exclusive(file):
        pass


def test_a_killed_process_lets_go_of_the_lock(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DatabaseInUse, match=str(holder.pid)):
            with exclusive(file):
                pass
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
    with exclusive(file):
        pass


def test_the_file_of_a_url_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert database_file("sqlite:///a.db") == tmp_path / "a.db"
    assert database_file("sqlite:////var/a.db") == Path("/var/a.db")
