"""What a container of a pod is to be, read from its manifest. Pure.

Follows the Kubernetes API: `$(NAME)` expansion, `env` and `envFrom`, the downward API, security
contexts. What the lab does not know is refused with the reason that the container then shows as
waiting, never ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from standfast.errors import TransientError
from standfast.lab.kube_client import Json

EXPANSION = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PRODUCT_IMAGE = re.compile(r"(?:^|/)(standfast-(?:operator|witness))(?:[:@]|$)")
CAPABILITY_NUMBERS = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYS_NICE": 23,
    "SYS_TIME": 25,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
CAPABILITIES_BY_DEFAULT = frozenset(CAPABILITY_NUMBERS) - {
    "NET_ADMIN",
    "SYS_PTRACE",
    "SYS_ADMIN",
    "SYS_NICE",
    "SYS_TIME",
}
"""Those that containerd leaves to a container."""

Source = tuple[str, str]
"""`("secret", name)` or `("configMap", name)`."""


class NotStartableError(TransientError):
    """A container cannot be started now; it shows why and is tried again.

    Args:
        problem: The message it shows.
        reason: The reason it shows, `CreateContainerConfigError`.
    """

    def __init__(self, problem: str, reason: str = "CreateContainerConfigError") -> None:
        super().__init__(problem)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Place:
    """What a pod learns about where it runs.

    Args:
        node: The node's name.
        host_ip: The node's address.
        pod_ip: The pod's own.
        api_host: Where the API server is, for `KUBERNETES_SERVICE_HOST`.
        api_port: And its port.
        bin_dir: Where the programs of the product's own images are.
    """

    node: str
    host_ip: str
    pod_ip: str
    api_host: str
    api_port: int
    bin_dir: Path


@dataclass(frozen=True, slots=True)
class Rights:
    """Whom a container's process runs as and what it may do."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    capabilities: frozenset[int]
    gains_privileges: bool
    root_read_only: bool


def sources(container: Json) -> dict[Source, bool]:
    """The secrets and configMaps its environment needs -> whether it can do without."""
    wanted: dict[Source, bool] = {}
    for entry in container.get("envFrom", []):
        for key, kind in (("secretRef", "secret"), ("configMapRef", "configMap")):
            if key in entry:
                wanted[kind, entry[key]["name"]] = entry[key].get("optional", False)
    for entry in container.get("env", []):
        origin = entry.get("valueFrom", {})
        for key, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "configMap")):
            if key in origin:
                wanted[kind, origin[key]["name"]] = origin[key].get("optional", False)
    return wanted


def environment(
    pod: Json, container: Json, found: Mapping[Source, Mapping[str, str]], place: Place
) -> dict[str, str]:
    """The environment of a container's process.

    Args:
        pod: Its pod.
        container: Its entry in the pod's spec.
        found: The secrets and configMaps of `sources` that exist, decoded.
        place: Where it runs.

    Raises:
        NotStartableError: Something that is not optional is missing.
    """
    ours = PRODUCT_IMAGE.search(container["image"])
    env = {
        "PATH": f"{place.bin_dir}:{PATH}" if ours else PATH,
        "HOME": "/",
        "HOSTNAME": hostname(pod),
        "KUBERNETES_SERVICE_HOST": place.api_host,
        "KUBERNETES_SERVICE_PORT": str(place.api_port),
        "KUBERNETES_SERVICE_PORT_HTTPS": str(place.api_port),
    }
    for entry in container.get("envFrom", []):
        for key, kind in (("secretRef", "secret"), ("configMapRef", "configMap")):
            if key in entry:
                values = found.get((kind, entry[key]["name"]), {})
                env |= {entry.get("prefix", "") + name: value for name, value in values.items()}
    for entry in container.get("env", []):
        value = _value(pod, entry, found, place, env)
        if value is not None:
            env[entry["name"]] = value
    return env


def command(container: Json, env: Mapping[str, str]) -> tuple[str, ...]:
    """The words to run: `command` and `args`, or what the image would run.

    Args:
        container: Its entry in the pod's spec.
        env: Its environment, for `$(NAME)`.

    Raises:
        NotStartableError: The image is a stranger and no command is given.
    """
    words = container.get("command")
    if words is None:
        match = PRODUCT_IMAGE.search(container["image"])
        if match is None:
            raise NotStartableError(
                f"the lab has no images: {container['image']} needs a command, or to be"
                " standfast-operator or standfast-witness",
                "ErrImageNeverPull",
            )
        words = [match[1]]
    return tuple(expand(word, env) for word in [*words, *container.get("args", [])])


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replaces `$(NAME)` where NAME is set; `$$` is a dollar."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return env.get(match[1], match[0])

    return EXPANSION.sub(value, text)


def field(pod: Json, path: str, place: Place) -> str:
    """A field of the pod as the downward API names it.

    Raises:
        NotStartableError: The downward API has no such field.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": place.node,
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.hostIP": place.host_ip,
        "status.podIP": place.pod_ip,
        "status.podIPs": place.pod_ip,
    }
    if path in known:
        return str(known[path])
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if match is None:
        raise NotStartableError(f"fieldRef {path!r} is not known in the lab")
    return str(metadata.get(match[1], {}).get(match[2], ""))


def rights(pod: Json, container: Json) -> Rights:
    """Whom a container runs as, by its pod's and its own security context.

    Raises:
        NotStartableError: It must not run as root and nothing says as whom it should.
    """
    outer = pod["spec"].get("securityContext", {})
    inner = {**outer, **container.get("securityContext", {})}
    uid = inner.get("runAsUser", 0)
    if inner.get("runAsNonRoot") and uid == 0:
        raise NotStartableError(
            f"container {container['name']} has runAsNonRoot and the image will run as root:"
            " in the lab runAsUser must say as whom"
        )
    groups = {*outer.get("supplementalGroups", [])}
    if "fsGroup" in outer:
        groups.add(outer["fsGroup"])
    return Rights(
        uid=uid,
        gid=inner.get("runAsGroup", 0),
        groups=tuple(sorted(groups)),
        capabilities=_capabilities(inner),
        gains_privileges=inner.get("allowPrivilegeEscalation", True),
        root_read_only=inner.get("readOnlyRootFilesystem", False),
    )


def label_of(pod: Json) -> str:
    """How a pod is called in logs and files: `namespace/name`."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def hostname(pod: Json) -> str:
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63]


def _capabilities(context: Json) -> frozenset[int]:
    if context.get("privileged"):
        return frozenset(range(64))
    change = context.get("capabilities", {})
    dropped = {name.upper() for name in change.get("drop", [])}
    names = set() if "ALL" in dropped else CAPABILITIES_BY_DEFAULT - dropped
    added = {name.upper() for name in change.get("add", [])}
    if unknown := added - set(CAPABILITY_NUMBERS):
        raise NotStartableError(f"capabilities {sorted(unknown)} are not known in the lab")
    return frozenset(CAPABILITY_NUMBERS[name] for name in names | added)


def _value(
    pod: Json,
    entry: Json,
    found: Mapping[Source, Mapping[str, str]],
    place: Place,
    env: Mapping[str, str],
) -> str | None:
    origin = entry.get("valueFrom")
    if origin is None:
        return expand(entry.get("value", ""), env)
    if "fieldRef" in origin:
        return field(pod, origin["fieldRef"]["fieldPath"], place)
    for key, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "configMap")):
        if key in origin:
            reference = origin[key]
            value = found.get((kind, reference["name"]), {}).get(reference["key"])
            if value is None and not reference.get("optional", False):
                raise NotStartableError(
                    f"couldn't find key {reference['key']} in {kind} {reference['name']}"
                )
            return value
    raise NotStartableError(f"env {entry['name']}: {sorted(origin)} is not known in the lab")
