"""The declared side as data: the six kinds of `standfast.dev/v1alpha1` as pydantic models.

- `cluster`: `HACluster`, `HAClusterSpec`, `Node`, `Timing` (`.to_core()`), `Placement`, `Fencing`
- `cluster_status`: `HAClusterStatus`, `NodeStatus`, `WitnessMember`, `Decision`, `TimingStatus`
- `resource`: `HAResource`, `HAResourceSpec` (`.type`, `.target`), `Vip`, `Systemd`, budgets in ms
- `witness`: `Witness`, `ManagedWitness`, `AgentWitness`, `WitnessStatus`
- `infrastructure`: `Infrastructure`, `Vsphere`, `InfrastructureStatus`
- `switchover`: `Switchover`, `SwitchoverPhase`, `Step`
- `record`: `FailoverRecord`, `ProofUsed`, `DataLoss`
- `conditions`: `ConditionType`, `with_condition`, `without_condition`, `find_condition`
- `parse`: `parse(Model, document)` to act on, `read(Model, document)` to show; `UserError`
- `kinds`: `KINDS`, `BY_NAME`: plurals, short names, columns
- `scalars`, `markers`, `base`: `Truth`, `duration_ms`, rules, `Model`, `KubeObject`
- `schema`, `crdgen`: the CRDs; `python -m standfast.api.crdgen` writes `crds/` and the chart's

Models are frozen and know users' names as aliases (`instance_uuid` is `instanceUUID`);
`Model.to_object()` gives what the API server takes. Nothing here does I/O but `crdgen`.
"""
