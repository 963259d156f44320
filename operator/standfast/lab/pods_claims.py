"""The lab's persistent volumes: directories that outlive the pods which use them.

The provisioner behind the storage class `lab`, which is the default one. It makes a volume for
every claim that waits for one; kube-controller-manager binds the two and releases the volume when
the claim is deleted, upon which its directory is removed.
"""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from standfast.lab.kube_client import ApiError, Json, KubeClient

CLASS = "lab"
PROVISIONER = "standfast.dev/lab"
MADE_BY = "pv.kubernetes.io/provisioned-by"

log = logging.getLogger(__name__)


async def declare_class(api: KubeClient) -> None:
    """Makes the storage class, the default one."""
    await api.apply(
        f"/apis/storage.k8s.io/v1/storageclasses/{CLASS}",
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        },
    )


async def provision(
    api: KubeClient, directory: Path, claims: Iterable[Json], volumes: Iterable[Json]
) -> None:
    """Makes the volumes that claims wait for and removes those that claims have left.

    Args:
        api: The API.
        directory: Holds the volumes' directories.
        claims: All claims of the cluster.
        volumes: All volumes of the cluster.
    """
    known = {volume["metadata"]["name"]: volume for volume in volumes}
    for claim in claims:
        spec = claim["spec"]
        name = f"pvc-{claim['metadata']['uid']}"
        waits = spec.get("storageClassName") == CLASS and not spec.get("volumeName")
        if waits and name not in known and "deletionTimestamp" not in claim["metadata"]:
            (directory / name).mkdir(parents=True, exist_ok=True)
            await _make(api, directory / name, claim)
    for name, volume in known.items():
        ours = volume["metadata"].get("annotations", {}).get(MADE_BY) == PROVISIONER
        if ours and volume.get("status", {}).get("phase") == "Released":
            shutil.rmtree(directory / name, ignore_errors=True)
            await api.delete(f"/api/v1/persistentvolumes/{name}", {})
            log.info("Volume removed volume=%s", name)


async def _make(api: KubeClient, path: Path, claim: Json) -> None:
    metadata, spec = claim["metadata"], claim["spec"]
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": path.name, "annotations": {MADE_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": CLASS,
            "hostPath": {"path": str(path)},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }
    try:
        await api.create("/api/v1/persistentvolumes", volume)
    except ApiError as error:
        if not error.conflict:
            raise
    else:
        log.info("Volume made volume=%s claim=%s", path.name, metadata["name"])
