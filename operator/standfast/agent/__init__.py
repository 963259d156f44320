"""The agent: a member of one cluster that runs resources, in every protected VM.

`main` is the command line, `agent` the process, `node` joins the quorum to the resource group,
`drivers` performs the group's calls, `specs` reads declarations, `install` is the systemd unit.
What it shares with the witness is in `standfast.member`.
"""
