"""Fills the volumes of a pod from the API, and keeps their contents fresh.

Called by `pods_pod` before the pod's containers start and every few seconds afterwards: secrets
and configMaps may have changed, and tokens are replaced before they end.
"""

import base64
import time
from dataclasses import dataclass
from pathlib import Path

from standfast.lab.kube_client import ApiError, Json, KubeClient
from standfast.lab.pods_files import File, Owner, empty_directory, grant, publish
from standfast.lab.pods_spec import NotStartableError, Place, Source, field

TOKEN_S = 3607
TOKEN_FRESH_PART = 0.8
HOSTPATH_KINDS = {"", "Directory", "DirectoryOrCreate", "File", "Socket"}


@dataclass(slots=True)
class Token:
    """A service-account token and when to ask for the next one, on the monotonic clock."""

    text: str
    fresh_until: float


class Volumes:
    """The volumes of one pod.

    Args:
        api: To read what they are made of.
        pod: The pod.
        directory: Where they go, one directory each.
        place: Where the pod runs, for the downward API.
    """

    def __init__(self, api: KubeClient, pod: Json, directory: Path, place: Place) -> None:
        self._api = api
        self._pod = pod
        self._directory = directory
        self._place = place
        self._tokens: dict[str, Token] = {}
        context = pod["spec"].get("securityContext", {})
        self._owner = Owner(context.get("runAsUser"), context.get("fsGroup"))

    async def fill(self) -> dict[str, Path]:
        """Makes or refreshes every volume.

        Returns:
            Volume name -> the directory or file to mount.

        Raises:
            NotStartableError: One cannot be made now.
        """
        return {
            volume["name"]: await self._fill(volume)
            for volume in self._pod["spec"].get("volumes", [])
        }

    async def _fill(self, volume: Json) -> Path:
        target: Path = self._directory / volume["name"]
        if "emptyDir" in volume:
            return empty_directory(target, self._owner)
        if "hostPath" in volume:
            return _host_path(volume["hostPath"])
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            return grant(await self._claimed(claim), self._owner)
        publish(target, await self._files(volume), self._owner)
        return target

    async def _claimed(self, claim: str) -> Path:
        namespace = self._pod["metadata"]["namespace"]
        found = await self._get(
            f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}",
            f'persistentvolumeclaim "{claim}"',
        )
        if found.get("status", {}).get("phase") != "Bound":
            raise NotStartableError(
                f'persistentvolumeclaim "{claim}" is not bound yet', "ContainerCreating"
            )
        name = found["spec"]["volumeName"]
        volume = await self._get(f"/api/v1/persistentvolumes/{name}", f"volume {name}")
        return Path(volume["spec"]["hostPath"]["path"])

    async def _files(self, volume: Json) -> dict[str, File]:
        if "projected" in volume:
            mode = volume["projected"].get("defaultMode", 0o644)
            files: dict[str, File] = {}
            for position, part in enumerate(volume["projected"]["sources"]):
                files |= await self._projected(part, mode, f"{volume['name']}/{position}")
            return files
        for kind, name in (("secret", "secretName"), ("configMap", "name")):
            if kind in volume:
                mode = volume[kind].get("defaultMode", 0o644)
                return await self._keys(kind, volume[kind][name], volume[kind], mode)
        if "downwardAPI" in volume:
            return self._fields(
                volume["downwardAPI"], volume["downwardAPI"].get("defaultMode", 0o644)
            )
        kind = ", ".join(sorted(set(volume) - {"name"}))
        raise NotStartableError(f"volume {volume['name']}: the lab does not know {kind}")

    async def _projected(self, part: Json, mode: int, key: str) -> dict[str, File]:
        if "serviceAccountToken" in part:
            wanted = part["serviceAccountToken"]
            token = await self._token(wanted, key)
            mode = 0o600 if self._owner.uid is not None else 0o644
            return {wanted["path"]: File(token.encode(), mode, of_user=True)}
        if "downwardAPI" in part:
            return self._fields(part["downwardAPI"], mode)
        for kind in ("secret", "configMap"):
            if kind in part:
                return await self._keys(kind, part[kind]["name"], part[kind], mode)
        raise NotStartableError(f"the lab does not know the projected source {sorted(part)}")

    async def _keys(self, kind: str, name: str, selection: Json, mode: int) -> dict[str, File]:
        namespace = self._pod["metadata"]["namespace"]
        data = await read_source(self._api, namespace, (kind, name))
        if data is None:
            if selection.get("optional", False):
                return {}
            raise NotStartableError(f'{kind} "{name}" not found', "ContainerCreating")
        if "items" not in selection:
            return {key: File(value, mode) for key, value in data.items()}
        files = {}
        for item in selection["items"]:
            if item["key"] in data:
                files[item["path"]] = File(data[item["key"]], item.get("mode", mode))
            elif not selection.get("optional", False):
                raise NotStartableError(f'{kind} "{name}" has no key {item["key"]}')
        return files

    def _fields(self, selection: Json, mode: int) -> dict[str, File]:
        return {
            item["path"]: File(
                field(self._pod, item["fieldRef"]["fieldPath"], self._place).encode(),
                item.get("mode", mode),
            )
            for item in selection.get("items", [])
        }

    async def _token(self, wanted: Json, key: str) -> str:
        known = self._tokens.get(key)
        if known is not None and time.monotonic() < known.fresh_until:
            return known.text
        metadata = self._pod["metadata"]
        account = self._pod["spec"].get("serviceAccountName", "default")
        life_s = wanted.get("expirationSeconds", TOKEN_S)
        spec = {
            "audiences": [wanted["audience"]] if wanted.get("audience") else [],
            "expirationSeconds": life_s,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        }
        answer = await self._api.create(
            f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        token = Token(answer["status"]["token"], time.monotonic() + life_s * TOKEN_FRESH_PART)
        self._tokens[key] = token
        return token.text

    async def _get(self, path: str, what: str) -> Json:
        try:
            return await self._api.get(path)
        except ApiError as error:
            if error.not_found:
                raise NotStartableError(f"{what} not found", "ContainerCreating") from error
            raise


async def read_source(api: KubeClient, namespace: str, source: Source) -> dict[str, bytes] | None:
    """The decoded contents of a secret or a configMap; None when there is none."""
    kind, name = source
    try:
        found = await api.get(f"/api/v1/namespaces/{namespace}/{kind.lower()}s/{name}")
    except ApiError as error:
        if error.not_found:
            return None
        raise
    binary = found.get("data" if kind == "secret" else "binaryData") or {}
    text = {} if kind == "secret" else found.get("data") or {}
    return {key: base64.b64decode(value) for key, value in binary.items()} | {
        key: value.encode() for key, value in text.items()
    }


def _host_path(wanted: Json) -> Path:
    path, kind = Path(wanted["path"]), wanted.get("type", "")
    if kind not in HOSTPATH_KINDS:
        raise NotStartableError(f"hostPath type {kind} is not known in the lab")
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        raise NotStartableError(f"hostPath {path} does not exist", "ContainerCreating")
    return path
