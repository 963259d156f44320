"""What leaves a process: the messages of the members, their HTTPS API, what the journal keeps.

Typed structures and their encodings only; no socket, no clock. Agent, witness, operator and
command line share these files, so that both ends of a connection speak from one text.
"""
