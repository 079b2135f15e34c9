"""How long, how many, how large: the limits that client and server share."""

from typing import Final

NAME: Final = 64  # characters of a squad's, member's, key's or role's name
PART: Final = 255  # characters of a name in an address
EMAIL: Final = 254  # characters of an email address
TITLE: Final = 200  # characters of a task's title
TEXT: Final = 256 * 1024  # bytes of a description, instructions, a reason, an input or a result
BODY: Final = 16 * 1024 * 1024  # bytes of a request
BATCH: Final = 1_000  # tasks created at once
DEPENDENCIES: Final = 100  # dependencies of one task
PAGE: Final = 50  # items of a list, unless asked otherwise
PAGE_MAX: Final = 200  # items of a list, at most
LEASE: Final = 60  # seconds of a claim's lease, unless the squad says otherwise
LEASE_MAX: Final = 14_400  # seconds of a claim's lease, at most
TRIES: Final = 3  # tries of a task, unless the squad says otherwise
TRIES_MAX: Final = 100  # tries of a task, at most
NUMBER_MAX: Final = 2**31 - 1  # highest number of a task or an attempt
POSITION_MAX: Final = 2**63 - 1  # highest position of an event
