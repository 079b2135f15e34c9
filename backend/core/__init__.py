"""What everything in the server stands on: errors, settings and the database. Knows no table."""
