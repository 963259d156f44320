"""`kubectl standfast`: what a person asks and orders, with the person's own credentials.

Decides nothing: it reads and creates objects. `client` is the only module that talks to the API
server, `main` the only one that ends the process; the `render_*` modules are pure, from objects to
what rich prints.
"""
