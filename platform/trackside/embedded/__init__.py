"""PostgreSQL and Valkey from wheels, for `trackside up` and for tests; never meant for production."""
