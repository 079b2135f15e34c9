"""The doors.

Each turns credentials into an actor, its wire into a schema, calls one operation, and turns the model or
the error back into its wire. No rule and no query lives here, and none imports another.
"""
