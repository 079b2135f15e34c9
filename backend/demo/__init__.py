"""The work of the demonstration: a review of a folder of Python source, cut into tasks.

`plan` says which tasks there are, `work` is the command that does one. Plain Python: nothing here
knows the server, a squad or the network.
"""
