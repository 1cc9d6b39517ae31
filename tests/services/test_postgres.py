"""The private PostgreSQL keeps its promises, since the fault tests stand on them."""

import psutil
import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.services.postgres import PrivatePostgres


def test_each_test_gets_a_database_of_its_own(postgres: PrivatePostgres) -> None:
    first, second = postgres.create_database(), postgres.create_database()
    assert first != second
    with create_engine(first, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE only_here (i int)"))
    with create_engine(second, poolclass=NullPool).begin() as connection:
        assert connection.execute(text("SELECT to_regclass('only_here')")).scalar() is None


def test_a_killed_server_comes_back_with_what_was_committed(doomed_postgres: PrivatePostgres) -> None:
    engine = create_engine(doomed_postgres.create_database(), poolclass=NullPool)
    with engine.begin() as connection:
        assert connection.execute(text("SHOW fsync")).scalar() == "on"
        connection.execute(text("CREATE TABLE kept AS SELECT 7 AS i"))
    open_connection = engine.connect()
    family = psutil.Process(doomed_postgres.pid).children(recursive=True)
    assert family

    doomed_postgres.kill()
    assert not [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    with pytest.raises(OperationalError):
        engine.connect()
    open_connection.invalidate()
    open_connection.close()

    doomed_postgres.start()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT i FROM kept")).scalar() == 7
