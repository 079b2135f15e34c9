"""From the log to whoever listens: one connection that hears the bell, one tailer that reads, any number of followers.

Knows operations and nothing of a wire: a follower gets events as text and makes of them what it wants.
"""
