"""Backup and restore: the whole of Agent Squad's schema as one file, by the bundled PostgreSQL's own programs.

They work on the bundled cluster and on the database that DATABASE_URL names alike.
"""
