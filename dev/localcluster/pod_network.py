"""A loopback network of its own for the pods of each cluster.

Pods on fake nodes get loopback addresses, so that a local process which listens on one *is* that pod's engine and is
reached as a real one would be. Clusters that run at the same time must not hand out the same addresses; a network is
reserved by listening on its last address, which the system ends with the process.
"""

import socket
from ipaddress import IPv4Network
from typing import Final

from localcluster.processes import StartError

CANDIDATES: Final = tuple(IPv4Network(f"127.{octet}.0.0/16") for octet in range(10, 250))
"""Parts of 127.0.0.0/8, all of which Linux binds without set-up; 127.0 is where everything else listens."""
RESERVATION_PORT: Final = 10250
"""The kubelet's port: no engine or twin serves there."""


class PodNetwork:
    """A network that no other cluster on this machine uses until ``close``."""

    def __init__(self) -> None:
        """Reserve the first one that is free.

        Raises
        ------
        StartError
            When there is none, as on systems that do not bind all of 127.0.0.0/8.
        """
        for network in CANDIDATES:
            self._claim = socket.socket()
            try:
                self._claim.bind((str(network.broadcast_address - 1), RESERVATION_PORT))
                self._claim.listen()
            except OSError:
                self._claim.close()
            else:
                self.network = network
                return
        raise StartError("no loopback network 127.N.0.0/16 is free for the pods; fake pods need Linux")

    def close(self) -> None:
        """Give the network back."""
        self._claim.close()
