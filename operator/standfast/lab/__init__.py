"""A whole installation on one machine, of real parts: for the demo, the tests and trying things.

Nothing in the product knows that it runs here. The parts are processes of this machine
(kube-apiserver, a simulated vCenter, virtual machines made of namespaces) that outlive the command
that started them; `paths` says where each keeps its files.
"""
