"""The page to look at: a browser's cookie becomes an actor, a form one operation, and what was read a page.

Everything is made on the server; htmx sends forms and morphs what came back into the page that is there.
"""
