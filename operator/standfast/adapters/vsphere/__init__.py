"""vCenter by SOAP (pyvmomi): the only package that sees vendor types, and the only one that may.

`faults` translates vendor errors, `session` logs in, `search` finds VMs by identity, `collector`
turns property updates into facts, `feed` is the thread that listens, `power` switches VMs and
proves it, `vcenter` puts them together behind `ports.hypervisor.Hypervisor`.
"""
