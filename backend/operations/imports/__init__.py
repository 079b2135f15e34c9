"""A squad that comes as JSON lines (agentsquad/schemas/exports.py): all of it, log and all, or nothing.

`reading` takes the file line by line, and `knowing` what the lines refer to; `loading` makes rows of them; `rules`
compares the rows with one another and with the log, as the operations would have left them.
"""

from backend.operations.imports.importing import squad

__all__ = ["squad"]
