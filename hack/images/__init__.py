"""Wheelhouses, container images and the loopback tritonserver, built from locked wheels.

    python -m hack.images build [operator|triton-cpu|models|all]

Wheels are downloaded outside the builds, every hash checked; the builds themselves need no
network where the engine has a base image. `build` is the same from Python.
"""

from hack.images.builder import build

__all__ = ["build"]
