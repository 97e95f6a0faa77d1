"""The local cluster: a real control plane and fake GPU nodes, as plain processes on loopback.

``python -m localcluster run -- COMMAND`` runs a command inside one; tests get it from the fixture ``cluster``. Which
kind is chosen by ``CLUSTER``: ``embedded`` (default), ``kind``, or ``current`` (the kubeconfig's context). No part of
the product.
"""
