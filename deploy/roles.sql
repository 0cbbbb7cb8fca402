-- The roles and the database of an installation: for psql (15 or later), as the server's administrator; again is harmless.
-- The login's password is taken from the environment, TURNPIKE_POSTGRES_PASSWORD.
--
-- The login is an ordinary role. It owns the database, so that `turnpike migrate` can make the schema, and it is bound by
-- what it was granted: a superuser would pass all row-level security and could read files and run programs on the server.
\set ON_ERROR_STOP on
\getenv password TURNPIKE_POSTGRES_PASSWORD

SELECT 'CREATE ROLE turnpike_tenant NOLOGIN' WHERE to_regrole('turnpike_tenant') IS NULL \gexec
SELECT 'CREATE ROLE turnpike_gateway NOLOGIN' WHERE to_regrole('turnpike_gateway') IS NULL \gexec
SELECT 'CREATE ROLE turnpike LOGIN' WHERE to_regrole('turnpike') IS NULL \gexec
GRANT turnpike_tenant TO turnpike_gateway;
GRANT turnpike_gateway TO turnpike;
ALTER ROLE turnpike LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION PASSWORD :'password';
SELECT 'CREATE DATABASE turnpike OWNER turnpike'
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'turnpike') \gexec
REVOKE ALL ON DATABASE turnpike FROM PUBLIC;
