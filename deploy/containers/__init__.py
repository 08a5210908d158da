"""Weir as container images: Dockerfiles, the proxy's configuration, and what development adds."""
