"""Writes kubeconfigs: files by which a user of the lab's API server is known to it."""

from base64 import b64encode
from pathlib import Path

import yaml

from standfast.lab.ca import Pair
from standfast.lab.program import write


def write_kubeconfig(path: Path, server: str, ca: Path, user: str, pair: Pair) -> None:
    """A kubeconfig that holds everything it needs, readable by its owner only.

    Args:
        path: Where it goes.
        server: `https://address:port`.
        ca: Authority that signed the server's certificate.
        user: Name of the entry; the certificate says who it is.
        pair: The user's certificate and key.
    """
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [
            {
                "name": "lab",
                "cluster": {"server": server, "certificate-authority-data": _text(ca)},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _text(pair.certificate),
                    "client-key-data": _text(pair.key),
                },
            }
        ],
        "contexts": [
            {
                "name": "lab",
                "context": {"cluster": "lab", "user": user, "namespace": "default"},
            }
        ],
    }
    write(path, yaml.safe_dump(config, sort_keys=False))


def _text(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()
