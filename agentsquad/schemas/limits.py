"""How long, how many, how large: the limits that client and server share."""

from typing import Final

NAME: Final = 64  # characters of a squad's, member's, key's or role's name
PART: Final = 255  # characters of a name in an address
EMAIL: Final = 254  # characters of an email address
TITLE: Final = 200  # characters of a task's title
TEXT: Final = 256 * 1024  # bytes of a description, message, instructions, a reason, an input or a result
BODY: Final = 16 * 1024 * 1024  # bytes of a request
IMPORT: Final = 1024 * 1024 * 1024  # bytes of a squad that is imported
LINE: Final = 8 * 1024 * 1024  # bytes of a line of it
MEMBERS: Final = 100_000  # members of a squad that is imported
BATCH: Final = 1_000  # tasks created at once
DEPENDENCIES: Final = 100  # dependencies of one task
CLAIMS: Final = 20  # tasks claimed at once
PATHS: Final = 50  # paths that an attempt reserves
PATH: Final = 500  # characters of one
WILDCARDS: Final = 20  # parts of one that hold a wildcard
ADDRESS: Final = 500  # characters of an address that a hosted member is run with
TOOLS: Final = 10  # servers whose tools a hosted member may call
HEARTBEATS: Final = 100  # claims renewed at once
MESSAGES: Final = 200  # messages acknowledged at once
UNREAD: Final = 1_000  # unread messages that are counted, at most
CARDS: Final = 300  # unfinished tasks of one status on the board, at most
ENDED: Final = 50  # tasks of each status that is an end on the board, at most
PAGE: Final = 50  # items of a list, unless asked otherwise
PAGE_MAX: Final = 200  # items of a list, at most
WAIT: Final = 50  # seconds that a long poll waits, at most
REJECTIONS: Final = 3  # rejections of a task after which the owner is told
LEASE: Final = 60  # seconds of a claim's lease, unless the squad says otherwise
LEASE_MAX: Final = 14_400  # seconds of a claim's lease, at most
LEASE_CALLS: Final = 900  # seconds of a lease that calls over MCP renew, unless the claim asks for another
LEASE_MIN: Final = 30  # seconds of a lease that a claim asks for, at least
TRIES: Final = 3  # tries of a task, unless the squad says otherwise
TRIES_MAX: Final = 100  # tries of a task, at most
SESSION: Final = 30  # days that a browser stays logged in
LINK: Final = 60  # seconds in which a link logs a browser in
IDEMPOTENCY_KEY: Final = 255  # characters of an Idempotency-Key
KEPT: Final = 24  # hours that the answer to an Idempotency-Key is kept
AMOUNT: Final = 10**15  # tokens or calls of a budget, at most
DOLLARS: Final = 10**9  # dollars of a budget, at most
NUMBER_MAX: Final = 2**31 - 1  # highest number of a task or an attempt
POSITION_MAX: Final = 2**63 - 1  # highest position of an event
