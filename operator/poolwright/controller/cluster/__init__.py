"""What the cluster says: the client, the mirror of watched objects, nodes, profiles and policies."""
