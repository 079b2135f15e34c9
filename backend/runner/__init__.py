"""Hosted members: claim, ask the model and do what it says, step by step into the journal, finish.

Knows `live` and what is below it, and no interface. No transaction is open while a model or a tool is waited for.
"""
