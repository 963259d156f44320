"""Names that the storage and its initiators agree on; imported inside the VMs as well."""

IQN = "iqn.2026-01.dev.standfast.test:disk"
SERIAL = "6000c298595bf4575739e9105b2c0c2d"
NODES = ("a", "b")


def initiator(node: str) -> str:
    return f"iqn.2026-01.dev.standfast.test:node-{node}"
