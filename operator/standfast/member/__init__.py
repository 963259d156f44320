"""A member of clusters as a process: what the agent and the witness have in common.

One loop and one mailbox (`daemon`), one quorum member per cluster (`voter`), links to the others
(`links`), one port for links and API (`entrance`, `http`), enrolment and certificates
(`enrolment`), small durable files (`store`), and the word to people (`chronicle`, `status`). What
only a data node has, its resources, is in `agent`; what only a voter has, in `witness`.
"""
