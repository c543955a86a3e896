"""Which Ray cluster trains, and how many stacks at a time? It is reached, or refused before anything is written.

Whoever reaches a Ray cluster can run code there, so one that is named must ask for a token. Without an address Ray
starts on this machine, with a token of its own and no dashboard, and ends with the command.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

from rlbatch.errors import InputError, TemporaryError, nearest
from rlbatch.launch.plan import Capacity

_ADDRESS = "--ray-address"
_CONNECT_S = 5.0
_STORE_BYTES = 100 * 2**20
"""Object store of a Ray that starts here: nothing but messages passes through it."""
_PORT = "the port of Ray's head is 6379 by default"
_QUESTION = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""What a node asks the head first; an empty request is one. Ray would repeat it for a minute, whatever the answer."""


class Share(NamedTuple):
    """What one stack gets of a cluster: CPUs, and GPUs or a fraction of one."""

    cpus: int
    gpus: float


class Cluster:
    """A Ray cluster: one that runs already, or one that starts here for as long as it is needed.

    Args:
        address: host:port of its head, or auto for the one that runs on this machine; None starts one.
        no_auth_ok: whether a running one may be used that asks for no token.
    """

    def __init__(self, address: str | None = None, *, no_auth_ok: bool = False) -> None:
        self._address, self._no_auth_ok, self._connected = address, no_auth_ok, False

    def connect(self) -> None:
        """Connects this process to the cluster, once.

        Raises:
            InputError: Ray is not installed, the address is none, nothing answers there, or it asks for no token.
            TemporaryError: Ray could not be started here.
        """
        if self._connected:
            return
        if not installed():
            raise InputError("--launcher", "ray is not installed", "pip install 'rlbatch[ray]'")
        if self._address is None:
            _prepare_own()
        else:
            self._check_address(self._address)
        import ray

        if ray.is_initialized():
            raise InputError("--launcher", "this process is connected to Ray already", "call ray.shutdown() first")
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        own = {"num_cpus": len(os.sched_getaffinity(0)), "object_store_memory": _STORE_BYTES}
        try:
            ray.init(
                address=self._address or "local",
                log_to_driver=False,
                logging_level="ERROR",
                **(own | {"include_dashboard": False} if self._address is None else {}),
            )
        except Exception as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            if self._address is None:
                what, hint = f"Ray could not be started here: {reason}", "run the same command again"
                raise TemporaryError("--launcher", what, hint) from error
            raise InputError(_ADDRESS, f"{self._address}: {reason}") from error
        finally:
            for signum, handler in handlers.items():
                with contextlib.suppress(ValueError, TypeError):  # outside the main thread none was changed
                    signal.signal(signum, handler)
        self._connected = True

    def close(self) -> None:
        """Disconnects, and ends a cluster that was started here."""
        if self._connected:
            import ray

            ray.shutdown()
            self._connected = False

    def capacity(self, device: str, env_workers: int, jobs: int | None) -> Capacity:
        """Returns how many stacks train at a time, and with how much memory.

        Args:
            device: auto, cpu or cuda.
            env_workers: of each stack.
            jobs: as asked; None for as many as the cluster has room for.

        Raises:
            InputError: no node has room for a stack.
        """
        share, found = self.share(device, env_workers, jobs), self._nodes()
        room = {index: _room(node, share) for index, node in enumerate(found)}
        slots = sum(room.values())
        if not slots:
            gpus = f" and {share.gpus:g} GPU" if share.gpus else ""
            most = max((int(node.get("CPU", 0)) for node in found), default=0)
            what = f"no node has {share.cpus} CPUs{gpus} for a stack"
            raise InputError("--launcher", what, f"the largest has {most} CPUs; --env-workers takes one each")
        each = min(node.get("memory", 0.0) / room[index] for index, node in enumerate(found) if room[index])
        at_a_time = jobs or slots
        main = int(each * at_a_time)
        return Capacity(at_a_time, None if share.gpus else main, main)

    def share(self, device: str, env_workers: int, jobs: int | None) -> Share:
        """Returns what one stack gets: a core for itself and each process that steps environments, and its GPU.

        Stacks share a GPU if more are asked for at a time than there are GPUs.
        """
        if not device.startswith("cuda"):
            return Share(1 + env_workers, 0.0)
        gpus = sum(int(node.get("GPU", 0)) for node in self._nodes())
        return Share(1 + env_workers, 1.0 / math.ceil(jobs / gpus) if jobs and jobs > gpus > 0 else 1.0)

    def has_gpus(self) -> bool:
        """Tells whether a node has a GPU."""
        return any(node.get("GPU", 0) >= 1 for node in self._nodes())

    def most_memory(self) -> int:
        """Returns the bytes of main memory of the node that has most of it."""
        return int(max((node.get("memory", 0.0) for node in self._nodes()), default=0.0))

    def _nodes(self) -> list[dict[str, float]]:
        """Returns the resources of every live node."""
        import ray

        return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]

    def _check_address(self, address: str) -> None:
        """Raises InputError unless a cluster may be behind an address, and may be used."""
        if os.environ.get("RAY_AUTH_MODE") != "token" and not self._no_auth_ok:
            what = "without a token, whoever reaches the cluster can run code on it"
            hint = "start Ray and this command with RAY_AUTH_MODE=token, or say --ray-no-auth-ok"
            raise InputError(_ADDRESS, what, hint)
        if address == "auto":
            return
        host, colon, port = address.rpartition(":")
        if not (colon and host and "/" not in host and port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
            raise InputError(_ADDRESS, f"{address!r} is not host:port", "for instance 127.0.0.1:6379, or auto")
        if os.environ.get("RAY_USE_TLS", "0") == "0":
            self._check_head(address)

    def _check_head(self, address: str) -> None:
        """Raises InputError unless Ray answers and, asked without a token, refuses, but does not with ours."""
        answer = _ask(address, "")
        if answer == "OK" and not self._no_auth_ok:
            hint = "start it with RAY_AUTH_MODE=token, or say --ray-no-auth-ok"
            raise InputError(_ADDRESS, f"the cluster at {address} asks for no token", hint)
        if answer == "UNAUTHENTICATED" and os.environ.get("RAY_AUTH_MODE") == "token":
            answer = _ask(address, _token())
        if answer == "UNAUTHENTICATED":
            hint = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as where it was started"
            raise InputError(_ADDRESS, f"the cluster at {address} asks for another token", hint)
        if answer in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            raise InputError(_ADDRESS, f"no Ray answers at {address}", f"is it running there? {_PORT}")
        if answer != "OK":
            raise InputError(_ADDRESS, f"what answers at {address} is not Ray", _PORT)


def installed() -> bool:
    """Tells whether Ray is installed, without loading it."""
    return importlib.util.find_spec("ray") is not None


def cluster_of(launcher: str, address: str | None, *, no_auth_ok: bool) -> Cluster | None:
    """Returns the cluster that is asked for, not yet connected; None for this machine. Raises InputError."""
    if launcher == "ray":
        return Cluster(address, no_auth_ok=no_auth_ok)
    if launcher != "local":
        hint = nearest(launcher, ("local", "ray")) or "allowed: local, ray"
        raise InputError("--launcher", f"{launcher!r} is not a launcher", hint)
    for option, asked in ((_ADDRESS, address is not None), ("--ray-no-auth-ok", no_auth_ok)):
        if asked:
            raise InputError(option, "is of no use with the launcher local", "add --launcher ray")
    return None


def _ask(address: str, token: str) -> str:
    """Returns how the head of a cluster answers, as a status of gRPC: OK, UNAUTHENTICATED, UNAVAILABLE, ..."""
    import grpc

    headers = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:  # as Ray does
        try:
            channel.unary_unary(_QUESTION)(b"", timeout=_CONNECT_S, metadata=headers)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def _token() -> str:
    """Returns the token as Ray finds it; raises InputError if there is none."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    token = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        token = token or path.read_text(encoding="ascii").strip()
    if not token:
        what = "RAY_AUTH_MODE is token, but there is no token"
        raise InputError(_ADDRESS, what, "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH for a file that holds it")
    return token


def _prepare_own() -> None:
    """Has a Ray that starts here ask for a token that nobody else knows, and tell nobody of its use."""
    if "ray" not in sys.modules:  # it reads these when it is loaded
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _room(node: dict[str, Any], share: Share) -> int:
    """Returns how many stacks a node has room for."""
    room = int(node.get("CPU", 0)) // share.cpus
    return min(room, int(node.get("GPU", 0)) * round(1 / share.gpus)) if share.gpus else room
