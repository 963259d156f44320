"""Standfast: high availability for applications in virtual machines, declared in Kubernetes.

Read `core` first: it decides, and needs nothing else. `docs/architecture.md` draws the rest.
"""
