"""Disks: what is pure of them."""
