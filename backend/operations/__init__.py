"""The domain: what can be done, as plain async functions. Knows tables and schemas, and no wire.

A write is `async (session, actor, …)` and never commits: `database.transact()` does. A read is
`(actor, …) → Select`, run by whoever needs it (core/reads.py).
"""
