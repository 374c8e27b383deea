"""The old place of kubelet/docker/config."""

from kubelet.docker.config.parts import Mount, Surroundings, container_name

__all__ = ["Mount", "Surroundings", "container_name"]
