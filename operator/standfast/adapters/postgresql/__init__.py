"""PostgreSQL as a replicated resource: what `adapters.drivers.postgresql` is made of.

Pure: `wal` (positions, timelines, who diverged from whom), `control` (pg_controldata), `settings`
(our one included file, the block in pg_hba.conf, connection strings), `names` (for whom writes
wait), `invitation` (what the active tells its standbys), `plan` (the next step of a standby).

Touching the world: `places` (where things are), `account` (programs and files as the database's
user), `session` (psql, kept open), `server` (the postmaster), `instance` (one database cluster:
its unit, its files, its role), `building` (base backup, rewind), `following` and `leading` (what
is done in each role).

Rules. Everything on the database's files is done as the database's user, never as root: nothing
that user planted can lead root astray. SQL is spoken by a `psql` of our own per database: no
library in the agent, and a hung server costs a process that can be killed.
"""
