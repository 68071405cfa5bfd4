"""Real Redis servers of a test's own on loopback: alone, a cluster, behind sentinels, with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from infra.services.redis import RedisServer

HOST = "127.0.0.1"
GONE_MS = 1_000
"""After which a cluster or sentinels count a server as gone."""
AS_NODE = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(GONE_MS))
UP_S = 60.0


class Servers:
    """Servers in a folder; :meth:`stop` ends all of them."""

    def __init__(self, folder: Path, program: str | None = None) -> None:
        self.folder = folder
        self.program = program or RedisServer(folder / "unused").command()[0]
        self.by_port: dict[int, subprocess.Popen[bytes]] = {}
        self._options: dict[int, list[str]] = {}
        self._passwords: dict[int, str | None] = {}

    def start(self, *options: str, port: int | None = None, password: str | None = None) -> int:
        """A server; the port that it answers on in plain text, also where it has TLS on another."""
        port = port or free_port()
        home = self.folder / str(port)
        home.mkdir(parents=True, exist_ok=True)
        own = ["--port", str(port), "--bind", HOST, "--dir", str(home), "--save", "", "--logfile", str(home / "log")]
        own += ["--repl-diskless-sync-delay", "0"]  # it would wait seconds for more replicas
        self._options[port] = [
            *own,
            *options,
            *(["--requirepass", password, "--masterauth", password] if password else []),
        ]
        self._passwords[port] = password
        self.start_again(port)
        return port

    def start_again(self, port: int) -> None:
        """One that was started before, with what it wrote to its folder."""
        self.by_port[port] = subprocess.Popen([self.program, *self._options[port]])
        until(lambda: bool(self.client(port).ping()))

    def client(self, port: int) -> Redis:
        """A plain client of one server, for setting things up."""
        return Redis(HOST, port, password=self._passwords.get(port), socket_timeout=5)

    def cluster(self, primaries: int, replicas: int = 0, first: int | None = None) -> list[int]:
        """A Redis Cluster; ports of the primaries, of which the ``first`` may be given, then of their replicas."""
        given = [first, *[None] * (primaries + replicas - 1)]
        ports = [self.start(*AS_NODE, "--cluster-port", str(free_port()), port=port) for port in given]
        self.join(ports, primaries)
        return ports

    def join(self, ports: list[int], primaries: int) -> None:
        """Make a cluster of servers that were started for one."""
        share = 16_384 / primaries
        for place, port in enumerate(ports[:primaries]):
            slots = round(place * share), round((place + 1) * share) - 1
            self.client(port).execute_command("CLUSTER ADDSLOTSRANGE", *slots)
        for place, port in enumerate(ports):  # each with each: gossip takes seconds
            bus = self.client(port).config_get("cluster-port")["cluster-port"]
            for other in ports[:place]:
                self.client(other).execute_command("CLUSTER MEET", HOST, port, bus)
        ids = [self.client(port).execute_command("CLUSTER MYID").decode() for port in ports]
        until(lambda: all(len(self.client(port).cluster("NODES")) >= len(ports) for port in ports))
        for place, port in enumerate(ports[primaries:]):
            until(lambda port=port, place=place: self._replicates(port, ids[place]))
        until(lambda: all(self.cluster_is_up(port) for port in ports))
        for port in ports[primaries:]:
            until(lambda port=port: self.client(port).info("replication")["master_link_status"] == "up")

    def _replicates(self, port: int, primary: str) -> bool:
        with contextlib.suppress(RedisError):  # it has not met that one yet
            self.client(port).execute_command("CLUSTER REPLICATE", primary)
            return True
        return False

    def cluster_is_up(self, port: int) -> bool:
        """Whether a node says so, of as many nodes as it knows."""
        return bool(self.client(port).cluster("INFO")["cluster_state"] == "ok")

    def sentinels(
        self,
        primary: int,
        name: str,
        count: int = 3,
        password: str | None = None,
        own: str | None = None,
        tls: Sequence[str] = (),
    ) -> list[int]:
        """Sentinels that watch a server with a replica; the ports that they answer on.

        Args:
            primary: its port, with ``tls`` that of TLS. name: by which they know it. count: how many.
            password: of the servers. own: the sentinels' password. tls: options of certificates.
        """
        ports = [self._sentinel(primary, name, count // 2 + 1, password, own, tls) for _ in range(count)]
        until(lambda: all(self._knows(plain, name, count) for plain, _ in ports))
        return [answering for _, answering in ports]

    def _sentinel(
        self, primary: int, name: str, quorum: int, password: str | None, own: str | None, tls: Sequence[str]
    ) -> tuple[int, int]:
        port, secure = free_port(), free_port()
        home = self.folder / str(port)
        home.mkdir(parents=True)
        lines = [
            f"port {port}",
            f"bind {HOST}",
            f"dir {home}",
            f"logfile {home}/log",
            *([f"tls-port {secure}", "tls-replication yes"] if tls else []),
            *(f"{option.removeprefix('--')} {value}" for option, value in zip(tls[::2], tls[1::2], strict=True)),
            f"sentinel monitor {name} {HOST} {primary} {quorum}",
            f"sentinel down-after-milliseconds {name} {GONE_MS}",
            f"sentinel failover-timeout {name} 3000",
            *([f"sentinel auth-pass {name} {password}"] if password else []),
            *([f"requirepass {own}", f"sentinel sentinel-pass {own}"] if own else []),
        ]
        (home / "sentinel.conf").write_text("\n".join(lines), encoding="utf-8")
        self._options[port] = [str(home / "sentinel.conf"), "--sentinel"]
        self._passwords[port] = own
        self.start_again(port)
        return port, secure if tls else port

    def _knows(self, port: int, name: str, count: int) -> bool:
        found = self.client(port).sentinel_masters()[name]
        return bool(found["num-other-sentinels"] == count - 1 and found["num-slaves"] and not found["is_sdown"])

    def kill(self, port: int) -> None:
        """End a server at once."""
        server = self.by_port.pop(port)
        server.kill()
        server.wait()

    def stop(self) -> None:
        """End all."""
        for port in list(self.by_port):
            self.kill(port)


@contextmanager
def servers_in(folder: Path, program: str | None = None) -> Iterator[Servers]:
    """Servers that end with the block."""
    servers = Servers(folder, program)
    try:
        yield servers
    finally:
        servers.stop()


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def until(holds: Callable[[], bool], seconds: float = UP_S) -> None:
    """Wait until something holds; what Redis refuses meanwhile counts as not yet."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RedisError):
            if holds():
                return
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s")
        time.sleep(0.05)


@dataclass(frozen=True)
class Certificates:
    """Files of a made authority and of two certificates that it signed."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def certificates(folder: Path) -> Certificates:
    """An authority, a server's certificate for 127.0.0.1 and localhost, and a client's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder.mkdir(parents=True)
    now = dt.datetime.now(dt.UTC)

    def signed(name: str, by: tuple[Any, Any] | None, is_ca: bool) -> tuple[Any, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer, issuer_key = (by[0].subject, by[1]) if by else (subject, key)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
        made = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        plain = serialization.NoEncryption()
        (folder / f"{name}.pem").write_bytes(made.public_bytes(pem))
        (folder / f"{name}.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        return made, key

    authority = signed("ca", None, True)
    signed("server", authority, False)
    signed("client", authority, False)
    files = (folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key"))
    return Certificates(*files)


@contextmanager
def behind_tls(port: int, files: Certificates) -> Iterator[int]:
    """A port that speaks TLS, asks for a client's certificate, and hands on to a server without it, as stunnel does."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.ca))
    context.load_cert_chain(files.server, files.server_key)
    context.verify_mode = ssl.CERT_REQUIRED
    loop = asyncio.new_event_loop()

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain_reader, plain_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(copy(reader, plain_writer), copy(plain_reader, writer))

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        sink.close()

    server = loop.run_until_complete(asyncio.start_server(hand_on, HOST, 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@cache
def program_with_tls() -> str | None:
    """A server of this machine that is built with TLS; the embedded one is not."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            tried = subprocess.run(
                [found, "--port", "0", "--tls-port", "1"], capture_output=True, text=True, timeout=20, check=False
            )
            if "tls-cert-file" in tried.stdout:  # it lacks a certificate; one without TLS lacks the support
                return found
    return None
